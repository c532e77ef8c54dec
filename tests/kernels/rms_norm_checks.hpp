#pragma once
// rms_norm() and its gradient against the formulas in float64, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/element_array.hpp"
#include "kernels/rms_norm.hpp"

namespace bitmill {

struct NormCase {
  kernels::Element x_element, y_element;
  int64_t tokens, hidden;
  bool weighted;
  std::vector<float> x, weight, gradient;
};

struct NormOut {
  std::vector<float> y, of_x;
};

inline constexpr float norm_epsilon = 1e-5F;

inline NormCase make_norm_case(kernels::Element x, kernels::Element y, int64_t tokens,
                               int64_t hidden, bool weighted = true) {
  return {x,
          y,
          tokens,
          hidden,
          weighted,
          rounded_to(x, exact_numbers(tokens * hidden, 1)),
          exact_numbers(hidden, 2),
          rounded_to(y, exact_numbers(tokens * hidden, 3))};
}

// Of one token at `first`; appends to both.
inline void norm_reference(const NormCase& problem, int64_t first, std::vector<double>& y,
                           std::vector<double>& of_x) {
  const auto hidden = static_cast<double>(problem.hidden);
  double square = 0, product = 0;
  const auto weight = [&](int64_t j) { return problem.weighted ? double{problem.weight[j]} : 1; };
  for (int64_t j = 0; j < problem.hidden; ++j) {
    const double x = problem.x[first + j];
    square += x * x / hidden;
    product += x * problem.gradient[first + j] * weight(j) / hidden;
  }
  const double inverse = 1 / std::sqrt(square + double{norm_epsilon});
  for (int64_t j = 0; j < problem.hidden; ++j) {
    const double x = problem.x[first + j];
    y.push_back(x * inverse * weight(j));
    of_x.push_back(inverse *
                   (problem.gradient[first + j] * weight(j) - x * inverse * inverse * product));
  }
}

template <template <typename> class Array>
NormOut norm_on_device(const NormCase& problem) {
  const int64_t count = problem.tokens * problem.hidden;
  const ElementArray<Array> x(problem.x_element, problem.x), y(problem.y_element, count),
      gradient(problem.y_element, problem.gradient), of_x(problem.x_element, count);
  const Array<float> weight(problem.weight), inverse(std::vector<float>(problem.tokens, NAN));
  const float* const given = problem.weighted ? weight.data() : nullptr;
  EXPECT_EQ(kernels::rms_norm({x.data(), given, y.data(), inverse.data(), problem.tokens,
                               problem.hidden, norm_epsilon, problem.x_element, problem.y_element},
                              nullptr),
            kernels::cudaSuccess);
  EXPECT_EQ(kernels::rms_norm_gradient(
                {x.data(), given, inverse.data(), gradient.data(), of_x.data(), problem.tokens,
                 problem.hidden, problem.x_element, problem.y_element},
                nullptr),
            kernels::cudaSuccess);
  return {y.to_host(), of_x.to_host()};
}

// float32 sums, whose terms are near 1 where they nearly cancel; and one rounding to the element.
inline double norm_tolerance(kernels::Element element, const std::vector<double>& want) {
  double largest = 0;
  for (const double value : want) largest = std::max(largest, std::abs(value));
  return largest * (element == kernels::Element::bfloat16 ? 1.0 / 256 : 1e-5) + 1e-5;
}

template <template <typename> class Array>
void check_norm(const NormCase& problem) {
  const std::string name =
      std::to_string(problem.tokens) + " tokens of " + std::to_string(problem.hidden);
  std::vector<double> y, of_x;
  for (int64_t t = 0; t < problem.tokens; ++t) {
    norm_reference(problem, t * problem.hidden, y, of_x);
  }
  const NormOut got = norm_on_device<Array>(problem);
  EXPECT_LE(largest_distance(got.y, y), norm_tolerance(problem.y_element, y)) << name;
  EXPECT_LE(largest_distance(got.of_x, of_x), norm_tolerance(problem.x_element, of_x)) << name;
}

// Around the block (256 threads, one or four elements each), every pair of types.
template <template <typename> class Array>
void check_all_of_norm() {
  using enum kernels::Element;
  for (const kernels::Element x : {float32, bfloat16}) {
    for (const kernels::Element y : {float32, bfloat16}) {
      for (const int64_t hidden : {0, 1, 31, 36, 255, 257, 1024, 1028}) {
        check_norm<Array>(make_norm_case(x, y, 2, hidden));
      }
      check_norm<Array>(make_norm_case(x, y, 0, 64));
      check_norm<Array>(make_norm_case(x, y, 9, 64, false));
    }
  }
}

// Beyond what the gradient keeps, and beyond what both keep, with accesses of one and of four.
template <template <typename> class Array>
void check_long_norm() {
  using enum kernels::Element;
  for (const int64_t hidden : {kernels::kept_rms_norm / 2 + 1, kernels::kept_rms_norm + 1028}) {
    check_norm<Array>(make_norm_case(float32, bfloat16, 2, hidden));
    check_norm<Array>(make_norm_case(bfloat16, float32, 1, hidden, false));
  }
}

}  // namespace bitmill

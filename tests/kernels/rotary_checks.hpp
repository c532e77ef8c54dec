#pragma once
// rotate() against a plain loop, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "kernels/element_array.hpp"
#include "kernels/rotary.hpp"

namespace bitmill {

struct RotaryCase {
  kernels::Element element;
  int64_t tokens, heads, head_dim;
  bool back;
  std::vector<float> x, cosine, sine;  // the tables' second halves are NaN: nobody reads them
};

inline RotaryCase make_rotary_case(kernels::Element element, int64_t tokens, int64_t heads,
                                   int64_t head_dim, bool back) {
  RotaryCase made{element,
                  tokens,
                  heads,
                  head_dim,
                  back,
                  rounded_to(element, exact_numbers(tokens * heads * head_dim, 1)),
                  exact_numbers(tokens * head_dim, 2),
                  exact_numbers(tokens * head_dim, 3)};
  for (int64_t i = 0; i < tokens * head_dim; ++i) {
    if (i % head_dim >= head_dim / 2) made.cosine[i] = made.sine[i] = NAN;
  }
  return made;
}

inline std::vector<float> rotary_reference(const RotaryCase& problem) {
  std::vector<float> y = problem.x;
  const int64_t half = problem.head_dim / 2;
  for (int64_t t = 0; t < problem.tokens; ++t) {
    for (int64_t head = 0; head < problem.heads; ++head) {
      for (int64_t i = 0; i < half; ++i) {
        const int64_t first = (t * problem.heads + head) * problem.head_dim + i;
        const float a = problem.x[first], b = problem.x[first + half];
        const float cosine = problem.cosine[t * problem.head_dim + i];
        const float sine = problem.sine[t * problem.head_dim + i] * (problem.back ? -1.0F : 1.0F);
        y[first] = a * cosine - b * sine;
        y[first + half] = b * cosine + a * sine;
      }
    }
  }
  return rounded_to(problem.element, y);
}

template <template <typename> class Array>
std::vector<float> rotary_on_device(const RotaryCase& problem) {
  const ElementArray<Array> x(problem.element, problem.x),
      y(problem.element, std::ssize(problem.x));
  const Array<float> cosine(problem.cosine), sine(problem.sine);
  EXPECT_EQ(kernels::rotate({x.data(), cosine.data(), sine.data(), y.data(), problem.tokens,
                             problem.heads, problem.head_dim, problem.back, problem.element},
                            nullptr),
            kernels::cudaSuccess);
  return y.to_host();
}

// Around the block (256 threads, pairs of one or four); pairs that make no whole access.
template <template <typename> class Array>
void check_all_of_rotary() {
  for (const kernels::Element element : {kernels::Element::float32, kernels::Element::bfloat16}) {
    for (const bool back : {false, true}) {
      for (const auto& [tokens, heads, head_dim] : {std::tuple{0, 2, 8},
                                                    {2, 0, 8},
                                                    {3, 2, 0},
                                                    {1, 1, 2},
                                                    {3, 5, 6},
                                                    {2, 7, 80},
                                                    {5, 31, 62},
                                                    {2, 33, 64},
                                                    {1, 3, 4096}}) {
        const RotaryCase problem = make_rotary_case(element, tokens, heads, head_dim, back);
        EXPECT_EQ(first_difference(rotary_on_device<Array>(problem), rotary_reference(problem)), "")
            << tokens << " tokens, " << heads << " heads of " << head_dim;
      }
    }
  }
}

}  // namespace bitmill

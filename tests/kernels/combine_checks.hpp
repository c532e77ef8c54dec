#pragma once
// combine() against the loop of the cpu backend, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "backend/cpu_loops.hpp"
#include "kernels/combine.hpp"
#include "kernels/element_array.hpp"

namespace bitmill {

struct CombineCase {
  kernels::Element element;
  int64_t tokens, rows;
  std::vector<float> low_product, salient_product, low_sum, row_factor, mean_factor, code_scale;
};

inline CombineCase make_combine_case(kernels::Element element, int64_t tokens, int64_t rows) {
  CombineCase made{element,
                   tokens,
                   rows,
                   exact_numbers(tokens * rows, 1),
                   exact_numbers(tokens * rows, 2),
                   exact_numbers(tokens, 3),
                   exact_numbers(rows, 4),
                   exact_numbers(rows, 5),
                   exact_numbers(rows, 6)};
  // Roundings in float32 too.
  for (float& factor : made.row_factor) factor /= 3;
  for (float& sum : made.low_sum) sum /= 7;
  return made;
}

inline std::vector<float> combine_reference(const CombineCase& problem) {
  std::vector<float> y(problem.salient_product.size());
  cpu_loops::scale_rows(problem.salient_product.data(), problem.code_scale.data(), problem.tokens,
                        problem.rows, y.data());
  cpu_loops::combine({problem.low_product.data(), problem.low_sum.data(), problem.row_factor.data(),
                      problem.mean_factor.data(), problem.tokens, problem.rows},
                     y.data());
  return rounded_to(problem.element, y);
}

template <template <typename> class Array>
std::vector<float> combine_on_device(const CombineCase& problem, bool in_place = false) {
  const ElementArray<Array> u(problem.element, problem.low_product),
      w(problem.element, problem.salient_product),
      y(problem.element, std::ssize(problem.salient_product));
  const Array<float> v(problem.low_sum), row_factor(problem.row_factor),
      mean_factor(problem.mean_factor), code_scale(problem.code_scale);
  const kernels::Combine task{u.data(),
                              w.data(),
                              v.data(),
                              row_factor.data(),
                              mean_factor.data(),
                              code_scale.data(),
                              in_place ? w.data() : y.data(),
                              problem.tokens,
                              problem.rows,
                              problem.element};
  EXPECT_EQ(kernels::combine(task, nullptr), kernels::cudaSuccess);
  return in_place ? w.to_host() : y.to_host();
}

template <template <typename> class Array>
void check_combine(const CombineCase& problem, bool in_place = false) {
  EXPECT_EQ(
      first_difference(combine_on_device<Array>(problem, in_place), combine_reference(problem)), "")
      << problem.tokens << " tokens, " << problem.rows << " rows, "
      << kernels::bytes_of(problem.element) << " bytes";
}

// Around the tile (64 tokens, 512 or 128 rows) and the tokens under way (4).
template <template <typename> class Array>
void check_all_of_combine() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const int64_t tokens : {0, 1, 3, 4, 33, 65}) {
      for (const int64_t rows : {0, 1, 31, 36, 127, 129}) {
        check_combine<Array>(make_combine_case(element, tokens, rows));
      }
    }
    for (const int64_t rows : {508, 512, 516, 1031}) {
      check_combine<Array>(make_combine_case(element, 7, rows));
    }
    check_combine<Array>(make_combine_case(element, 5, 600), /*in_place=*/true);
  }
}

}  // namespace bitmill

#pragma once
// scatter() against the loop of the cpu backend, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "backend/cpu_loops.hpp"
#include "kernels/column_cases.hpp"
#include "kernels/element_array.hpp"
#include "kernels/scatter.hpp"

namespace bitmill {

struct ScatterCase {
  kernels::Element element;
  int64_t tokens;
  ColumnCase columns;
  bool x_gradient = true;
  std::vector<float> x, col_gain, low_product, salient_product, mean_gradient;

  int64_t low_stride() const { return ColumnCase::stride(columns.low(), 1); }
  int64_t salient_stride() const { return ColumnCase::stride(columns.salient()); }
};

struct Scattered {
  std::vector<float> x_gradient, col_gain_sum;
};

inline ScatterCase make_scatter_case(kernels::Element element, int64_t tokens, int64_t cols,
                                     SaliencyPattern pattern = SaliencyPattern::some) {
  ScatterCase made{element, tokens, make_column_case(cols, pattern), true, {}, {}, {}, {}, {}};
  made.x = exact_numbers(tokens * cols, 1);
  made.col_gain = exact_numbers(made.columns.low(), 2);
  made.low_product = exact_numbers(tokens * made.low_stride(), 3);
  made.salient_product = exact_numbers(tokens * made.salient_stride(), 4);
  made.mean_gradient = exact_numbers(tokens, 5);
  return made;
}

inline Scattered scatter_reference(const ScatterCase& problem) {
  const ColumnCase& columns = problem.columns;
  Scattered out;
  out.x_gradient.assign(problem.tokens * columns.cols, NAN);
  out.col_gain_sum.assign(kernels::token_tiles(problem.tokens) * columns.low(), NAN);
  for (int64_t first = 0; first < problem.tokens; first += kernels::tokens_per_tile) {
    const int64_t tokens = std::min(kernels::tokens_per_tile, problem.tokens - first);
    cpu_loops::scatter({problem.x.data() + first * columns.cols, columns.low_columns.data(),
                        columns.salient_columns.data(), problem.col_gain.data(), tokens,
                        columns.cols, columns.low(), columns.salient()},
                       {problem.low_product.data() + first * problem.low_stride(),
                        problem.mean_gradient.data() + first,
                        problem.salient_product.data() + first * problem.salient_stride(),
                        problem.low_stride(), problem.salient_stride()},
                       out.col_gain_sum.data() + first / kernels::tokens_per_tile * columns.low(),
                       problem.x_gradient ? out.x_gradient.data() + first * columns.cols : nullptr);
  }
  out.x_gradient = rounded_to(problem.element, out.x_gradient);
  return out;
}

template <template <typename> class Array>
Scattered scatter_on_device(const ScatterCase& problem) {
  const ColumnCase& columns = problem.columns;
  const Array<uint32_t> mask(columns.mask);
  const Array<int32_t> low_before(columns.low_before);
  const Array<float> gain(problem.col_gain), mean(problem.mean_gradient);
  const ElementArray<Array> x(problem.element, problem.x),
      low(problem.element, problem.low_product), salient(problem.element, problem.salient_product),
      gradient(problem.element, problem.tokens * columns.cols);
  const Array<float> sum(
      std::vector<float>(kernels::token_tiles(problem.tokens) * columns.low(), NAN));
  const kernels::Scatter task{x.data(),
                              {mask.data(), low_before.data(), columns.cols, columns.low()},
                              gain.data(),
                              low.data(),
                              problem.x_gradient ? salient.data() : nullptr,
                              mean.data(),
                              problem.x_gradient ? gradient.data() : nullptr,
                              sum.data(),
                              problem.tokens,
                              problem.low_stride(),
                              problem.salient_stride(),
                              problem.element};
  EXPECT_EQ(kernels::scatter(task, nullptr), kernels::cudaSuccess);
  return {gradient.to_host(), sum.to_host()};
}

template <template <typename> class Array>
void check_scatter(const ScatterCase& problem) {
  const std::string name = std::to_string(problem.tokens) + " tokens, " +
                           std::to_string(problem.columns.cols) + " columns, " +
                           std::to_string(problem.columns.low()) + " of them low, " +
                           std::to_string(kernels::bytes_of(problem.element)) + " bytes";
  const Scattered got = scatter_on_device<Array>(problem), want = scatter_reference(problem);
  EXPECT_EQ(first_difference(got.x_gradient, want.x_gradient), "") << "dx, " << name;
  EXPECT_EQ(first_difference(got.col_gain_sum, want.col_gain_sum), "") << "sums, " << name;
}

// Around the tile (64 tokens, 1,024 columns), the stage (4 tokens), words and sectors; with and
// without dx; linears without low or without salient columns.
template <template <typename> class Array>
void check_all_of_scatter() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const int64_t tokens : {0, 1, 3, 9, 63, 65}) {
      for (const int64_t cols : {0, 1, 2, 31, 33, 64, 97}) {
        check_scatter<Array>(make_scatter_case(element, tokens, cols));
      }
    }
    for (const int64_t cols : {1023, 1024, 1025, 2049}) {
      check_scatter<Array>(make_scatter_case(element, 5, cols));
    }
    for (const SaliencyPattern pattern : {SaliencyPattern::none, SaliencyPattern::all}) {
      check_scatter<Array>(make_scatter_case(element, 3, 1500, pattern));
    }
    ScatterCase sums_alone = make_scatter_case(element, 70, 1300);
    sums_alone.x_gradient = false;
    check_scatter<Array>(sums_alone);
  }
}

}  // namespace bitmill

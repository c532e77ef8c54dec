#pragma once
// gather() against the loop of the cpu backend, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "backend/cpu_loops.hpp"
#include "kernels/column_cases.hpp"
#include "kernels/element_array.hpp"
#include "kernels/gather.hpp"

namespace bitmill {

struct GatherCase {
  kernels::Element element;
  int64_t tokens;
  ColumnCase columns;
  int64_t more_padding = 0;
  bool salient = true;
  std::vector<float> x, col_gain;

  int64_t low_stride() const { return ColumnCase::stride(columns.low(), more_padding); }
  int64_t salient_stride() const { return ColumnCase::stride(columns.salient(), more_padding); }
};

struct Gathered {
  std::vector<float> low, salient, low_sum;
};

inline GatherCase make_gather_case(kernels::Element element, int64_t tokens, int64_t cols,
                                   SaliencyPattern pattern = SaliencyPattern::some) {
  GatherCase made{element, tokens, make_column_case(cols, pattern), cols % 3, true, {}, {}};
  made.x = exact_numbers(tokens * cols, 1);
  made.col_gain = exact_numbers(made.columns.low(), 2);
  return made;
}

inline Gathered gather_reference(const GatherCase& problem) {
  const ColumnCase& columns = problem.columns;
  Gathered out;
  out.low.resize(problem.tokens * problem.low_stride());
  out.salient.resize(problem.tokens * problem.salient_stride());
  std::vector<float> whole_sum(problem.tokens);
  cpu_loops::gather(
      {problem.x.data(), columns.low_columns.data(), columns.salient_columns.data(),
       problem.col_gain.data(), problem.tokens, columns.cols, columns.low(), columns.salient()},
      {out.low.data(), whole_sum.data(), out.salient.data(), problem.low_stride(),
       problem.salient_stride()});
  out.low = rounded_to(problem.element, out.low);
  if (!problem.salient) out.salient.assign(out.salient.size(), NAN);
  out.low_sum.assign(kernels::column_tiles(columns.cols) * problem.tokens, 0);
  for (int64_t t = 0; t < problem.tokens; ++t) {
    for (int64_t j = 0; j < columns.low(); ++j) {
      const int64_t tile = columns.low_columns[j] / kernels::columns_per_tile;
      out.low_sum[tile * problem.tokens + t] += out.low[t * problem.low_stride() + j];
    }
  }
  return out;
}

template <template <typename> class Array>
Gathered gather_on_device(const GatherCase& problem) {
  const ColumnCase& columns = problem.columns;
  const Array<uint32_t> mask(columns.mask);
  const Array<int32_t> low_before(columns.low_before);
  const Array<float> gain(problem.col_gain);
  const ElementArray<Array> x(problem.element, problem.x);
  const ElementArray<Array> low(problem.element, problem.tokens * problem.low_stride());
  const ElementArray<Array> salient(problem.element, problem.tokens * problem.salient_stride());
  const Array<float> low_sum(
      std::vector<float>(kernels::column_tiles(columns.cols) * problem.tokens, NAN));
  const kernels::Gather task{x.data(),
                             {mask.data(), low_before.data(), columns.cols, columns.low()},
                             gain.data(),
                             low.data(),
                             problem.salient ? salient.data() : nullptr,
                             low_sum.data(),
                             problem.tokens,
                             problem.low_stride(),
                             problem.salient_stride(),
                             problem.element};
  EXPECT_EQ(kernels::gather(task, nullptr), kernels::cudaSuccess);
  return {low.to_host(), salient.to_host(), low_sum.to_host()};
}

template <template <typename> class Array>
void check_gather(const GatherCase& problem) {
  const std::string name = std::to_string(problem.tokens) + " tokens, " +
                           std::to_string(problem.columns.cols) + " columns, " +
                           std::to_string(problem.columns.low()) + " of them low, " +
                           std::to_string(kernels::bytes_of(problem.element)) + " bytes";
  const Gathered got = gather_on_device<Array>(problem), want = gather_reference(problem);
  EXPECT_EQ(first_difference(got.low, want.low), "") << "x^, " << name;
  EXPECT_EQ(first_difference(got.salient, want.salient), "") << "x salient, " << name;
  EXPECT_EQ(first_difference(got.low_sum, want.low_sum), "") << "sums, " << name;
}

// Around the tile (32 tokens, 1,024 columns), the stage (4 tokens), words and sectors; a layer's
// width; linears without low or without salient columns.
template <template <typename> class Array>
void check_all_of_gather() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const int64_t tokens : {0, 1, 5, 33}) {
      for (const int64_t cols : {0, 1, 2, 31, 33, 64, 97}) {
        check_gather<Array>(make_gather_case(element, tokens, cols));
      }
    }
    for (const int64_t cols : {1023, 1024, 1025, 2049}) {
      check_gather<Array>(make_gather_case(element, 5, cols));
    }
    check_gather<Array>(make_gather_case(element, 65, 1100));
    for (const SaliencyPattern pattern : {SaliencyPattern::none, SaliencyPattern::all}) {
      check_gather<Array>(make_gather_case(element, 3, 1500, pattern));
    }
    GatherCase low_alone = make_gather_case(element, 6, 1300);
    low_alone.salient = false;
    check_gather<Array>(low_alone);
  }
}

}  // namespace bitmill

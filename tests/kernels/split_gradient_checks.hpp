#pragma once
// split_gradient() against the loops of the cpu backend, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "backend/cpu_loops.hpp"
#include "kernels/element_array.hpp"
#include "kernels/split_gradient.hpp"

namespace bitmill {

struct SplitCase {
  kernels::Element element;
  int64_t tokens, rows;
  bool salient_gradient, code_scale_sum;
  std::vector<float> gradient, low_product, salient_product, low_sum, row_factor, mean_factor,
      code_scale;
};

struct Split {
  std::vector<float> low_gradient, salient_gradient, mean_gradient, scale_sum, mean_sum,
      code_scale_sum;
};

inline SplitCase make_split_case(kernels::Element element, int64_t tokens, int64_t rows,
                                 bool salient_gradient = true, bool code_scale_sum = true) {
  return {element,
          tokens,
          rows,
          salient_gradient,
          code_scale_sum,
          exact_numbers(tokens * rows, 1),
          exact_numbers(tokens * rows, 2),
          exact_numbers(tokens * rows, 3),
          exact_numbers(tokens, 4),
          exact_numbers(rows, 5),
          exact_numbers(rows, 6),
          exact_numbers(rows, 7)};
}

// The loop of one tile of tokens, as the cpu backend calls it.
inline void split_tile_reference(const SplitCase& problem, int64_t first, Split& out) {
  const int64_t tokens = std::min(kernels::tokens_per_tile, problem.tokens - first);
  const int64_t rows = problem.rows, place = first * rows;
  const int64_t in_table = first / kernels::tokens_per_tile * rows;
  const float* const gradient = problem.gradient.data() + place;
  std::vector<float> whole_mean(tokens);
  cpu_loops::split_gradient({problem.low_product.data() + place, problem.low_sum.data() + first,
                             problem.row_factor.data(), problem.mean_factor.data(), tokens, rows},
                            gradient,
                            {out.low_gradient.data() + place, whole_mean.data(),
                             out.scale_sum.data() + in_table, out.mean_sum.data() + in_table});
  if (problem.salient_gradient) {
    cpu_loops::scale_rows(gradient, problem.code_scale.data(), tokens, rows,
                          out.salient_gradient.data() + place);
  }
  if (problem.code_scale_sum) {
    cpu_loops::dot_over_tokens(gradient, problem.salient_product.data() + place, tokens, rows,
                               out.code_scale_sum.data() + in_table);
  }
}

inline Split split_reference(const SplitCase& problem) {
  const int64_t tokens = problem.tokens, rows = problem.rows;
  const std::vector<float> elements(tokens * rows, NAN);
  const std::vector<float> table(kernels::token_tiles(tokens) * rows, NAN);
  const int64_t tiles = kernels::row_tiles(rows);
  Split out{elements, elements, std::vector<float>(tiles * tokens, 0), table, table, table};
  for (int64_t first = 0; first < tokens; first += kernels::tokens_per_tile) {
    split_tile_reference(problem, first, out);
  }
  out.low_gradient = rounded_to(problem.element, out.low_gradient);
  out.salient_gradient = rounded_to(problem.element, out.salient_gradient);
  const int64_t per_tile = kernels::rows_per_tile / (rows % 4 == 0 ? 1 : 4);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < rows; ++i) {
      out.mean_gradient[i / per_tile * tokens + t] +=
          problem.mean_factor[i] * problem.gradient[t * rows + i];
    }
  }
  return out;
}

template <template <typename> class Array>
Split split_on_device(const SplitCase& problem) {
  const kernels::Element element = problem.element;
  const int64_t tokens = problem.tokens, rows = problem.rows;
  const ElementArray<Array> g(element, problem.gradient), u(element, problem.low_product),
      w(element, problem.salient_product), low(element, tokens * rows),
      salient(element, tokens * rows);
  const Array<float> v(problem.low_sum), row_factor(problem.row_factor),
      mean_factor(problem.mean_factor), code_scale(problem.code_scale);
  const std::vector<float> table(kernels::token_tiles(tokens) * rows, NAN);
  const Array<float> scale_sum(table), mean_sum(table), code_sum(table);
  const Array<float> mean(std::vector<float>(kernels::row_tiles(rows) * tokens, NAN));
  const kernels::SplitGradient task{g.data(),
                                    u.data(),
                                    problem.code_scale_sum ? w.data() : nullptr,
                                    v.data(),
                                    row_factor.data(),
                                    mean_factor.data(),
                                    problem.salient_gradient ? code_scale.data() : nullptr,
                                    low.data(),
                                    problem.salient_gradient ? salient.data() : nullptr,
                                    mean.data(),
                                    scale_sum.data(),
                                    mean_sum.data(),
                                    problem.code_scale_sum ? code_sum.data() : nullptr,
                                    tokens,
                                    rows,
                                    element};
  EXPECT_EQ(kernels::split_gradient(task, nullptr), kernels::cudaSuccess);
  return {low.to_host(),       salient.to_host(),  mean.to_host(),
          scale_sum.to_host(), mean_sum.to_host(), code_sum.to_host()};
}

template <template <typename> class Array>
void check_split(const SplitCase& problem) {
  const std::string name = std::to_string(problem.tokens) + " tokens, " +
                           std::to_string(problem.rows) + " rows, " +
                           std::to_string(kernels::bytes_of(problem.element)) + " bytes";
  const Split got = split_on_device<Array>(problem), want = split_reference(problem);
  EXPECT_EQ(first_difference(got.low_gradient, want.low_gradient), "") << "low, " << name;
  EXPECT_EQ(first_difference(got.salient_gradient, want.salient_gradient), "")
      << "salient, " << name;
  EXPECT_EQ(first_difference(got.mean_gradient, want.mean_gradient), "") << "mean, " << name;
  EXPECT_EQ(first_difference(got.scale_sum, want.scale_sum), "") << "scale sums, " << name;
  EXPECT_EQ(first_difference(got.mean_sum, want.mean_sum), "") << "mean sums, " << name;
  EXPECT_EQ(first_difference(got.code_scale_sum, want.code_scale_sum), "")
      << "code scale sums, " << name;
}

// Around the tile (64 tokens, 512 or 128 rows) and the tokens under way (2 or 4); every combination
// of what may be left out.
template <template <typename> class Array>
void check_all_of_split() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const int64_t tokens : {0, 1, 3, 33, 65}) {
      for (const int64_t rows : {0, 1, 31, 36, 127, 129}) {
        check_split<Array>(make_split_case(element, tokens, rows));
      }
    }
    for (const int64_t rows : {508, 512, 516, 1031}) {
      check_split<Array>(make_split_case(element, 7, rows));
    }
    for (const auto& [salient, codes] : {std::pair{false, false}, {true, false}, {false, true}}) {
      check_split<Array>(make_split_case(element, 66, 516, salient, codes));
    }
  }
}

}  // namespace bitmill

#pragma once
// row_values() against a plain loop, on any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "format/packed_layout.hpp"
#include "kernels/column_cases.hpp"
#include "kernels/element_array.hpp"
#include "kernels/row_values.hpp"

namespace bitmill {

struct RowsCase {
  int64_t rows;
  ColumnCase columns;
  std::vector<float> weight;      // [rows, cols]
  std::vector<float> importance;  // [cols]; empty: no range is clipped
  bool salient_range;
};

// mean, mean_abs, mean_deviation, code_scale, code_zero, [rows] each.
using RowResults = std::array<std::vector<float>, 5>;

// Weights of which some are 0, with sums that are not exact; row 2 is all zeros.
inline RowsCase make_rows_case(int64_t rows, int64_t cols, SaliencyPattern pattern, bool clips,
                               bool salient_range) {
  RowsCase made{
      rows, make_column_case(cols, pattern), exact_numbers(rows * cols, 5), {}, salient_range};
  for (int64_t i = 0; i < rows * cols; ++i) {
    made.weight[i] *= 0.37F + 0.001F * static_cast<float>(i % 101);
    if (cols > 0 && i / cols == 2) made.weight[i] = 0;
  }
  if (clips) {
    made.importance = exact_numbers(cols, 6);
    for (float& one : made.importance) one = one * one / 3;
  }
  return made;
}

struct PlainGrid {
  float scale, zero;
};
inline PlainGrid plain_grid(float least, float greatest) {
  float low = std::min(0.0F, least), high = std::max(0.0F, greatest);
  if (low == 0 && high == 0) low = -1, high = 1;
  const float scale = (high - low) / 15.0F;
  return {scale, std::nearbyint(-low / scale)};
}

// The row's salient values and their importances, and its range.
inline PlainGrid plain_clipped_grid(float least, float greatest, const std::vector<float>& values,
                                    const std::vector<float>& importance) {
  PlainGrid best{};
  double least_error = std::numeric_limits<double>::infinity();
  for (const float factor : {1.0F, 0.95F, 0.9F, 0.85F, 0.8F, 0.75F, 0.7F}) {
    const PlainGrid grid = plain_grid(least * factor, greatest * factor);
    double error = 0;
    for (size_t j = 0; j < values.size(); ++j) {
      const float code =
          std::clamp(std::nearbyint(values[j] / grid.scale) + grid.zero, 0.0F, 15.0F);
      const double off = double{grid.scale} * (double{code} - double{grid.zero}) - values[j];
      error += double{importance[j]} * off * off;
    }
    if (error >= least_error) continue;
    least_error = error;
    best = grid;
  }
  return best;
}

inline RowResults plain_row_values(const RowsCase& problem) {
  RowResults out;
  for (int64_t row = 0; row < problem.rows; ++row) {
    const float* const weight = problem.weight.data() + row * problem.columns.cols;
    double sum = 0, sum_abs = 0, deviation = 0;
    int64_t count = 0;
    std::vector<float> salient, importance, range;
    for (const int64_t j : problem.columns.low_columns) {
      if (!problem.salient_range) range.push_back(weight[j]);
      if (weight[j] == 0) continue;
      sum += weight[j];
      sum_abs += std::abs(weight[j]);
      ++count;
    }
    for (const int64_t j : problem.columns.salient_columns) {
      salient.push_back(weight[j]);
      range.push_back(weight[j]);
      if (!problem.importance.empty()) importance.push_back(problem.importance[j]);
    }
    const auto mean = count > 0 ? static_cast<float>(sum / static_cast<double>(count)) : 0.0F;
    for (const int64_t j : problem.columns.low_columns) {
      if (weight[j] != 0) deviation += std::abs(double{weight[j]} - double{mean});
    }
    const double divisor = count > 0 ? static_cast<double>(count) : 1;
    const float least = range.empty() ? 0 : *std::ranges::min_element(range);
    const float greatest = range.empty() ? 0 : *std::ranges::max_element(range);
    const PlainGrid grid = problem.importance.empty() || range.empty()
                               ? plain_grid(least, greatest)
                               : plain_clipped_grid(least, greatest, salient, importance);
    out[0].push_back(mean);
    out[1].push_back(static_cast<float>(sum_abs / divisor));
    out[2].push_back(static_cast<float>(deviation / divisor));
    out[3].push_back(grid.scale);
    out[4].push_back(grid.zero);
  }
  return out;
}

template <template <typename> class Array>
RowResults row_values_on_device(const RowsCase& problem) {
  const Array<float> weight(problem.weight), importance(problem.importance);
  const Array<uint32_t> mask(problem.columns.mask);
  const std::vector<float> nothing(problem.rows, NAN);
  const Array<float> mean(nothing), mean_abs(nothing), deviation(nothing), scale(nothing),
      zero(nothing);
  const kernels::RowValues task{weight.data(),
                                mask.data(),
                                problem.importance.empty() ? nullptr : importance.data(),
                                mean.data(),
                                mean_abs.data(),
                                deviation.data(),
                                scale.data(),
                                zero.data(),
                                problem.rows,
                                problem.columns.cols,
                                problem.salient_range};
  EXPECT_EQ(kernels::row_values(task, nullptr), kernels::cudaSuccess);
  return {mean.to_host(), mean_abs.to_host(), deviation.to_host(), scale.to_host(), zero.to_host()};
}

// Around words and the tile, 64 rows by 64 columns at a time.
template <template <typename> class Array>
void check_all_of_row_values() {
  using enum SaliencyPattern;
  const auto check = [](int64_t rows, int64_t cols, SaliencyPattern pattern) {
    for (const bool clips : {false, true}) {
      for (const bool salient_range : {false, true}) {
        const RowsCase problem = make_rows_case(rows, cols, pattern, clips, salient_range);
        EXPECT_EQ(row_values_on_device<Array>(problem), plain_row_values(problem))
            << rows << " x " << cols << ", pattern " << static_cast<int>(pattern) << ", clips "
            << clips << ", range of salient ones " << salient_range;
      }
    }
  };
  for (const SaliencyPattern pattern : {some, none, all}) {
    for (const int64_t cols : {1, 31, 33, 64, 65, 131}) check(3, cols, pattern);
  }
  for (const int64_t rows : {0, 1, 63, 64, 65}) check(rows, 97, some);
}

}  // namespace bitmill

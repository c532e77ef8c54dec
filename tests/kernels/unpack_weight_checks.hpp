#pragma once
// unpack_weight() against a plain loop, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "format/packed_layout.hpp"
#include "kernels/column_cases.hpp"
#include "kernels/element_array.hpp"
#include "kernels/operands_checks.hpp"
#include "kernels/unpack_weight.hpp"

namespace bitmill {

struct UnpackCase {
  kernels::Element element;
  int64_t rows;
  ColumnCase columns;
  SignsCase signs;
  CodesCase codes;
  std::vector<float> row_scale, row_mean, code_scale, col_gain;
};

// Scales that are no short fractions, so that another order of the arithmetic shows.
inline UnpackCase make_unpack_case(kernels::Element element, int64_t rows, int64_t cols,
                                   SaliencyPattern pattern) {
  const auto rough = [](int64_t count, uint32_t seed) {
    std::vector<float> values = exact_numbers(count, seed);
    for (float& value : values) value = value / 7 + 0.3F;
    return values;
  };
  const ColumnCase columns = make_column_case(cols, pattern);
  return {element,
          rows,
          columns,
          make_signs_case(element, rows, columns.low()),
          make_codes_case(element, rows, columns.salient()),
          rough(rows, 11),
          rough(rows, 12),
          rough(rows, 13),
          rough(columns.low(), 14)};
}

inline std::vector<float> unpacked_plainly(const UnpackCase& problem) {
  const ColumnCase& columns = problem.columns;
  std::vector<float> weight(problem.rows * columns.cols);
  for (int64_t row = 0; row < problem.rows; ++row) {
    float* const out = weight.data() + row * columns.cols;
    for (int64_t j = 0; j < columns.low(); ++j) {
      const float sign = problem.signs.latents[row * columns.low() + j] >= 0 ? 1.0F : -1.0F;
      const float level = problem.row_scale[row] * sign + problem.row_mean[row];
      out[columns.low_columns[j]] = problem.col_gain[j] * level;
    }
    for (int64_t c = 0; c < columns.salient(); ++c) {
      const auto code = static_cast<float>(problem.codes.codes[row * columns.salient() + c]);
      out[columns.salient_columns[c]] =
          problem.code_scale[row] * (code - problem.codes.code_zero[row]);
    }
  }
  return rounded_to(problem.element, weight);
}

template <template <typename> class Array>
std::vector<float> unpacked_on_device(const UnpackCase& problem) {
  const ColumnCase& columns = problem.columns;
  const Array<uint32_t> signs(problem.signs.words()), codes(problem.codes.words());
  const Array<uint32_t> mask(columns.mask);
  const Array<int32_t> low_before(columns.low_before);
  const Array<float> row_scale(problem.row_scale), row_mean(problem.row_mean);
  const Array<float> code_scale(problem.code_scale), code_zero(problem.codes.code_zero);
  const Array<float> col_gain(problem.col_gain);
  const ElementArray<Array> out(problem.element, problem.rows * columns.cols);
  const kernels::UnpackWeight task{signs.data(),
                                   codes.data(),
                                   {mask.data(), low_before.data(), columns.cols, columns.low()},
                                   row_scale.data(),
                                   row_mean.data(),
                                   code_scale.data(),
                                   code_zero.data(),
                                   col_gain.data(),
                                   out.data(),
                                   problem.rows,
                                   problem.element};
  EXPECT_EQ(kernels::unpack_weight(task, nullptr), kernels::cudaSuccess);
  return out.to_host();
}

// Around words, sectors, and the tile: 64 rows of 4,096 columns.
template <template <typename> class Array>
void check_all_of_unpack_weight() {
  using enum kernels::Element;
  using enum SaliencyPattern;
  const auto check = [](kernels::Element element, int64_t rows, int64_t cols,
                        SaliencyPattern pattern) {
    const UnpackCase problem = make_unpack_case(element, rows, cols, pattern);
    EXPECT_EQ(first_difference(unpacked_on_device<Array>(problem), unpacked_plainly(problem)), "")
        << rows << " x " << cols << ", pattern " << static_cast<int>(pattern);
  };
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const SaliencyPattern pattern : {some, none, all}) {
      for (const int64_t cols : {0, 1, 31, 33, 97, 257}) {
        for (const int64_t rows : {0, 1, 9}) check(element, rows, cols, pattern);
      }
      check(element, 2, 4099, pattern);
    }
    for (const int64_t rows : {63, 64, 65}) check(element, rows, 41, some);
    check(element, 3, 8209, some);
  }
}

}  // namespace bitmill

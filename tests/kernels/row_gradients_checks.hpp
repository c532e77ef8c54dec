#pragma once
// row_gradients() against a plain loop, on any kind of device.

#include <gtest/gtest.h>

#include <string>

#include "kernels/element_array.hpp"
#include "kernels/row_gradients.hpp"

namespace bitmill {

struct RowGradientsCase {
  int64_t tiles, rows;
  bool means, code_scales;
  std::vector<float> scale_sum, mean_sum, code_scale_sum, row_scale, row_gain, row_mean;
};

struct RowGradientsOut {
  std::vector<float> row_scale, row_gain, row_mean, code_scale;
};

inline RowGradientsCase make_row_gradients_case(int64_t tiles, int64_t rows, bool means = true,
                                                bool code_scales = true) {
  RowGradientsCase made{tiles,
                        rows,
                        means,
                        code_scales,
                        exact_numbers(tiles * rows, 1),
                        exact_numbers(tiles * rows, 2),
                        exact_numbers(tiles * rows, 3),
                        exact_numbers(rows, 4),
                        exact_numbers(rows, 5),
                        exact_numbers(rows, 6)};
  // Sums and products that are rounded.
  for (auto* values : {&made.scale_sum, &made.mean_sum, &made.code_scale_sum, &made.row_scale}) {
    for (float& value : *values) value /= 3;
  }
  return made;
}

inline RowGradientsOut row_gradients_reference(const RowGradientsCase& problem) {
  const std::vector<float> none(problem.rows, NAN);
  RowGradientsOut out{none, none, none, none};
  for (int64_t i = 0; i < problem.rows; ++i) {
    float scale = 0, mean = 0, code = 0;
    for (int64_t tile = 0; tile < problem.tiles; ++tile) {
      scale += problem.scale_sum[tile * problem.rows + i];
      mean += problem.mean_sum[tile * problem.rows + i];
      code += problem.code_scale_sum[tile * problem.rows + i];
    }
    out.row_scale[i] = problem.row_gain[i] * scale;
    out.row_gain[i] = problem.row_scale[i] * scale + problem.row_mean[i] * mean;
    if (problem.means) out.row_mean[i] = problem.row_gain[i] * mean;
    if (problem.code_scales) out.code_scale[i] = code;
  }
  return out;
}

template <template <typename> class Array>
RowGradientsOut row_gradients_on_device(const RowGradientsCase& problem) {
  const Array<float> scale_sum(problem.scale_sum), mean_sum(problem.mean_sum),
      code_sum(problem.code_scale_sum), row_scale(problem.row_scale), row_gain(problem.row_gain),
      row_mean(problem.row_mean);
  const std::vector<float> none(problem.rows, NAN);
  const Array<float> of_scale(none), of_gain(none), of_mean(none), of_code(none);
  const kernels::RowGradients task{scale_sum.data(),
                                   mean_sum.data(),
                                   problem.code_scales ? code_sum.data() : nullptr,
                                   row_scale.data(),
                                   row_gain.data(),
                                   row_mean.data(),
                                   of_scale.data(),
                                   of_gain.data(),
                                   problem.means ? of_mean.data() : nullptr,
                                   problem.code_scales ? of_code.data() : nullptr,
                                   problem.tiles,
                                   problem.rows};
  EXPECT_EQ(kernels::row_gradients(task, nullptr), kernels::cudaSuccess);
  return {of_scale.to_host(), of_gain.to_host(), of_mean.to_host(), of_code.to_host()};
}

template <template <typename> class Array>
void check_row_gradients(const RowGradientsCase& problem) {
  const std::string name =
      std::to_string(problem.tiles) + " tiles, " + std::to_string(problem.rows) + " rows";
  const RowGradientsOut got = row_gradients_on_device<Array>(problem);
  const RowGradientsOut want = row_gradients_reference(problem);
  EXPECT_EQ(first_difference(got.row_scale, want.row_scale), "") << "alpha, " << name;
  EXPECT_EQ(first_difference(got.row_gain, want.row_gain), "") << "r1, " << name;
  EXPECT_EQ(first_difference(got.row_mean, want.row_mean), "") << "mu, " << name;
  EXPECT_EQ(first_difference(got.code_scale, want.code_scale), "") << "s, " << name;
}

// Around the tile (128 rows) and the rows of a table under way (8).
template <template <typename> class Array>
void check_all_of_row_gradients() {
  for (const int64_t tiles : {0, 1, 2, 9, 10, 32}) {
    for (const int64_t rows : {0, 1, 31, 33, 127, 128, 129, 1031}) {
      check_row_gradients<Array>(make_row_gradients_case(tiles, rows));
    }
  }
  check_row_gradients<Array>(make_row_gradients_case(3, 130, true, false));
  check_row_gradients<Array>(make_row_gradients_case(3, 130, false, true));
}

}  // namespace bitmill

#pragma once
// The gradients of what is learned of each row, from the tables of split_gradient.hpp (METHOD.md,
// "The factored form"). With A, M and C the sums of the tables scale_sum, mean_sum, code_scale_sum:
//
//   d alpha = r1 A    d r1 = alpha A + mu M    d mu = r1 M    d s = C
//
// Numbers: the rows of a table are added in order, then the formulas as they stand, in float32
// without contraction: the bits of the cpu backend for the same tables.
//
// Reference: the plain loop of tests/kernels/row_gradients_checks.hpp. Tests:
// row_gradients_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/add_table.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device.
struct RowGradients {
  const float* scale_sum;       // [tiles, rows]   in
  const float* mean_sum;        // [tiles, rows]   in
  const float* code_scale_sum;  // [tiles, rows]   in; null where s is not learned
  const float* row_scale;       // [rows], alpha   in
  const float* row_gain;        // [rows], r1      in
  const float* row_mean;        // [rows], mu      in
  float* of_row_scale;          // [rows]          out
  float* of_row_gain;           // [rows]          out
  float* of_row_mean;           // [rows]          out; null where mu is not learned
  float* of_code_scale;         // [rows]          out; null where s is not learned
  int64_t tiles;
  int64_t rows;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(scale_sum);
    visit(mean_sum);
    visit(code_scale_sum);
    visit(row_scale);
    visit(row_gain);
    visit(row_mean);
    visit(of_row_scale);
    visit(of_row_gain);
    visit(of_row_mean);
    visit(of_code_scale);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// negative size, or where only one of code_scale_sum and of_code_scale is given. Launches nothing
// without rows.
cudaError_t row_gradients(const RowGradients& task, cudaStream_t stream);

}  // namespace bitmill::kernels

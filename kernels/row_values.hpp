#pragma once
// What each row of a linear begins with (METHOD.md, "The 4-bit grid" and "First values"): means
// over its low weights that are not 0, and its 4-bit grid.
//
// Numbers: one thread makes a row, column by column, with sums in float64, as row_moments() and
// make_clipped_grid() of src/method do: the same bits.
//
// Reference: the plain loop of tests/kernels/row_values_checks.hpp. Tests: row_values_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/launch.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; weight begins at a multiple of 32 bytes.
struct RowValues {
  const float* weight;      // [rows, cols], row-major, finite     in
  const uint32_t* mask;     // [words_for(cols, 32)], 1 = salient  in
  const float* importance;  // [cols], of salient columns' errors; null: no range is clipped   in
  float* mean;              // [rows], of w                        out
  float* mean_abs;          // [rows], of |w|                      out
  float* mean_deviation;    // [rows], of |w - mean|               out
  float* code_scale;        // [rows]                              out
  float* code_zero;         // [rows]                              out
  int64_t rows;
  int64_t cols;
  bool salient_range;  // the range is that of the salient weights; else of the whole row

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(weight);
    visit(mask);
    visit(importance);
    visit(mean);
    visit(mean_abs);
    visit(mean_deviation);
    visit(code_scale);
    visit(code_zero);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// negative size. Launches nothing without rows.
cudaError_t row_values(const RowValues& task, cudaStream_t stream);

}  // namespace bitmill::kernels

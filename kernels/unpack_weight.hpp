#pragma once
// The dense weight that a packed linear stands for (format/packed_linear.hpp):
//   low column j:      col_gain_j (row_scale_i S_ij + row_mean_i)
//   salient column c:  code_scale_i (q_ic - code_zero_i)
//
// Numbers: in float32, left to right as written, without contraction; then rounded to the element
// once. With float32 the bits are those of dequantize() in src/format.
//
// Reference: the plain loop of tests/kernels/unpack_weight_checks.hpp. Tests:
// unpack_weight_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/columns.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; words and weight begin at a multiple of 32 bytes.
struct UnpackWeight {
  const uint32_t* signs;  // [rows, words_for(low, 32)]            in
  const uint32_t* codes;  // [rows, words_for(cols - low, 8)]      in
  ColumnSplit split;
  const float* row_scale;   // [rows]                              in
  const float* row_mean;    // [rows]                              in
  const float* code_scale;  // [rows]                              in
  const float* code_zero;   // [rows], whole numbers 0 .. 15       in
  const float* col_gain;    // [low]                               in
  void* weight;             // element [rows, cols], row-major     out
  int64_t rows;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(signs);
    visit(codes);
    split.each_pointer(visit);
    visit(row_scale);
    visit(row_mean);
    visit(code_scale);
    visit(code_zero);
    visit(col_gain);
    visit(weight);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for
// sizes that are not as above. Launches nothing for an empty weight.
cudaError_t unpack_weight(const UnpackWeight& task, cudaStream_t stream);

}  // namespace bitmill::kernels

#pragma once
// The output of a linear from its two products (METHOD.md, "The factored form"):
//
//   y = row_factor * u + mean_factor * v + code_scale * w
//
// with row_factor = r1 alpha, mean_factor = r1 mu.
//
// Numbers: (row_factor * u + mean_factor * v) + code_scale * w in float32, rounded once to the
// element. In float32 these are the bits of cpu_loops::combine on scaled w.
//
// Reference: src/backend/cpu_loops. Tests: combine_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; arrays begin at a multiple of 16 bytes.
struct Combine {
  const void* low_product;      // element [tokens, rows], u   in
  const void* salient_product;  // element [tokens, rows], w   in
  const float* low_sum;         // [tokens], v                 in
  const float* row_factor;      // [rows]                      in
  const float* mean_factor;     // [rows]                      in
  const float* code_scale;      // [rows], s                   in
  void* y;                      // element [tokens, rows]      out; may be salient_product
  int64_t tokens;
  int64_t rows;
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(low_product);
    visit(salient_product);
    visit(low_sum);
    visit(row_factor);
    visit(mean_factor);
    visit(code_scale);
    visit(y);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for a
// negative size. Launches nothing for an empty y.
cudaError_t combine(const Combine& task, cudaStream_t stream);

}  // namespace bitmill::kernels

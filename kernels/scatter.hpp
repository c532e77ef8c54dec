#pragma once
// From the gradients of a linear's operands to those of its input x and of r2 (METHOD.md, "The
// factored form"). With d = the gradient of x^, low_product + mean_gradient of the token:
//
//   dx_low = r2 * d     dx_salient = salient_product     sum over tokens of x_low * d
//
// Numbers: everything is computed in float32 and rounded once to the element. In float32, dx has
// the bits of cpu_loops::scatter, and a row of the table those of its sum over that tile's tokens.
//
// Reference: src/backend/cpu_loops. Tests: scatter_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/add_table.hpp"
#include "kernels/columns.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; arrays of elements begin at a multiple of 32 bytes.
struct Scatter {
  const void* x;  // element [tokens, cols]                          in
  ColumnSplit split;
  const float* col_gain;        // [low], r2                        in
  const void* low_product;      // element [tokens, low_stride]     in
  const void* salient_product;  // element [tokens, salient_stride] in; unused without x_gradient
  const float* mean_gradient;   // [tokens]                         in
  void* x_gradient;             // element [tokens, cols]           out; may be null
  float* col_gain_sum;          // [token_tiles(tokens), low]       out
  int64_t tokens;
  int64_t low_stride;      // is_operand_stride(low_stride, low)
  int64_t salient_stride;  // likewise; ignored without x_gradient
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(x);
    split.each_pointer(visit);
    visit(col_gain);
    visit(low_product);
    visit(salient_product);
    visit(mean_gradient);
    visit(x_gradient);
    visit(col_gain_sum);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for
// sizes that are not as above. Launches nothing without tokens or columns.
cudaError_t scatter(const Scatter& task, cudaStream_t stream);

}  // namespace bitmill::kernels

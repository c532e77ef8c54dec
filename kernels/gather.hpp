#pragma once
// The operands of a linear's forward products, from its input x (METHOD.md, "The factored form"):
// x^ = r2 * x_low with its sum over the columns, and x_salient.
//
// Numbers: x^ is one product, rounded once to the element, and x_salient is a copy: in float32 both
// have the bits of cpu_loops::gather. The sums are of the rounded x^, in float32, in a fixed order
// that is not the CPU's: within low * 2^-24 of the sum of magnitudes.
//
// Reference: src/backend/cpu_loops. Tests: gather_test.cpp in tests/kernels and in tests/gpu.

#include <cstdint>

#include "kernels/columns.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; x and the operands begin at a multiple of 32 bytes.
struct Gather {
  const void* x;  // element [tokens, cols]                     in
  ColumnSplit split;
  const float* col_gain;  // [low], r2                          in
  void* low;              // element [tokens, low_stride], x^          out; padding becomes 0
  void* salient;   // element [tokens, salient_stride]          out; padding becomes 0; may be null
  float* low_sum;  // [column_tiles(cols), tokens]              out; may be null
  int64_t tokens;
  int64_t low_stride;      // is_operand_stride(low_stride, low)
  int64_t salient_stride;  // likewise; ignored if salient is null
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(x);
    split.each_pointer(visit);
    visit(col_gain);
    visit(low);
    visit(salient);
    visit(low_sum);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue for
// sizes that are not as above. Launches nothing without tokens or columns.
cudaError_t gather(const Gather& task, cudaStream_t stream);

}  // namespace bitmill::kernels

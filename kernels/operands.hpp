#pragma once
// The operands of a linear's products that stand for its weight: signs as +1 and -1, codes as whole
// numbers q - z, -15 .. 15. Both are exact in every element.
//
// Signs come from latents (once per step, where they are learned) or from packed words; codes come
// from packed words. Columns from the last one up to the stride are padding and become 0.
//
// Reference: src/backend/cpu_loops for latents, the plain loops of
// tests/kernels/operands_checks.hpp for the rest. Tests: operands_test.cpp in tests/kernels and in
// tests/gpu.

#include <cstdint>

#include "kernels/columns.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; latents and operand begin at a multiple of 32 bytes.
struct SignsOperand {
  const float* latents;   // [rows, low]   in; +1 where 0 or more, -1 else and for NaN
  const uint32_t* words;  // [rows, words_for(low, 32)]   in; used where latents is null
  void* operand;          // element [rows, stride]       out
  int64_t rows;
  int64_t low;
  int64_t stride;  // is_operand_stride(stride, low)
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(latents);
    visit(words);
    visit(operand);
  }
};

struct CodesOperand {
  const uint32_t* words;   // [rows, words_for(salient, 8)]   in
  const float* code_zero;  // [rows], whole numbers 0 .. 15   in
  void* operand;           // element [rows, stride]          out
  int64_t rows;
  int64_t salient;
  int64_t stride;  // is_operand_stride(stride, salient)
  Element element;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(words);
    visit(code_zero);
    visit(operand);
  }
};

// Queue the kernel on `stream` and return the result of the launch; cudaErrorInvalidValue for sizes
// that are not as above. They launch nothing for an empty operand.
cudaError_t signs_operand(const SignsOperand& task, cudaStream_t stream);
cudaError_t codes_operand(const CodesOperand& task, cudaStream_t stream);

}  // namespace bitmill::kernels

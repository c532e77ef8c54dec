#pragma once
// Packs what a linear has learned, or was given, into words (format/packed_layout.hpp): signs of
// latents, and 4-bit codes. operands.hpp is the way back; pack_signs.hpp packs a weight.
//
// Reference: the plain loops of src/format/packed_layout.hpp. Tests: pack_values_test.cpp in
// tests/kernels and in tests/gpu.

#include <cstdint>

#include "format/packed_layout.hpp"
#include "kernels/launch.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device; latents, codes and words begin at a multiple of 32
// bytes.
struct PackLatents {
  const float* latents;  // [rows, low]                  in; 1 where 0 or more, 0 else and for NaN
  uint32_t* words;       // [rows, words_for(low, 32)]   out; unused bits become 0
  int64_t rows;
  int64_t low;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(latents);
    visit(words);
  }
};

struct PackCodes {
  const uint8_t* codes;  // [rows, stride], 0 .. 15; columns from `salient` on hold anything   in
  uint32_t* words;       // [rows, words_for(salient, 8)]   out; unused nibbles become 0
  int64_t rows;
  int64_t salient;
  int64_t stride;  // a multiple of 32, at least `salient`

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(codes);
    visit(words);
  }
};

// Queue the kernel on `stream` and return the result of the launch; cudaErrorInvalidValue for sizes
// that are not as above. They launch nothing where there are no words.
cudaError_t pack_latents(const PackLatents& task, cudaStream_t stream);
cudaError_t pack_codes(const PackCodes& task, cudaStream_t stream);

}  // namespace bitmill::kernels

#pragma once
// What a kernel of ours asks of an array at most: contiguous, and beginning at a sector of memory,
// a multiple of 32 bytes.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitmill {

// The tensor itself where it is so (every tensor that libtorch has just allocated is), else a copy.
inline at::Tensor kernel_input(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  const bool aligned = reinterpret_cast<uintptr_t>(whole.const_data_ptr()) % 32 == 0;
  return aligned ? whole : whole.clone();
}

}  // namespace bitmill

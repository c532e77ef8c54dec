#pragma once
// What kernels of ours are given. They ask of an array at most that it is contiguous, and begins at
// a sector of memory, a multiple of 32 bytes.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace bitmill {

// The tensor itself where it is so (every tensor that libtorch has just allocated is), else a copy.
inline at::Tensor kernel_input(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  const bool aligned = reinterpret_cast<uintptr_t>(whole.const_data_ptr()) % 32 == 0;
  return aligned ? whole : whole.clone();
}

// Memory of a tensor of float32; null for one that is undefined.
inline float* floats_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<float>() : nullptr;
}

}  // namespace bitmill

#pragma once
// What kernels of ours are given. They ask of an array at most that it is contiguous, and begins at
// a sector of memory, a multiple of 32 bytes.

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>

#include <cstdint>
#include <vector>

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

// Words (format/packed_layout.hpp) are int32 in tensors, which know no uint32 everywhere.
inline uint32_t* word_memory(const at::Tensor& words) {
  return reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
}

// A copy on a GPU of numbers of 4 bytes, as int32. Waits until `words` may change.
template <typename Word>
at::Tensor words_on(at::Device gpu, const std::vector<Word>& words) {
  static_assert(sizeof(Word) == sizeof(int32_t));
  // from_blob() takes memory that may be written to; it is only read here.
  auto* const memory = const_cast<Word*>(words.data());
  return at::from_blob(memory, {static_cast<int64_t>(words.size())}, at::dtype(at::kInt)).to(gpu);
}

}  // namespace bitmill

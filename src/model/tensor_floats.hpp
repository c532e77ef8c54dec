#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

namespace bitmill {

// The values of a contiguous float32 tensor. The tensor still owns them.
inline std::span<float> floats_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

// The same for a float64 tensor.
inline std::span<double> doubles_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<double>(), static_cast<size_t>(tensor.numel())};
}

// The same for any dtype, as bytes.
inline std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace bitmill

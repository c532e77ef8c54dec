#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

#include "format/dtype.hpp"

namespace bitmill {

// Our name of a type, and libtorch's; float32 for what is none of the three.
inline at::ScalarType scalar_type(Dtype dtype) {
  if (dtype == Dtype::float16) return at::kHalf;
  return dtype == Dtype::bfloat16 ? at::kBFloat16 : at::kFloat;
}
inline Dtype dtype_of(at::ScalarType type) {
  if (type == at::kHalf) return Dtype::float16;
  return type == at::kBFloat16 ? Dtype::bfloat16 : Dtype::float32;
}

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

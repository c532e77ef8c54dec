#pragma once

#include <ATen/core/Tensor.h>

#include <span>

namespace bitmill {

// The values of a contiguous float32 tensor, which keeps owning them.
inline std::span<float> floats_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

}  // namespace bitmill

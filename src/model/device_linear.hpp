#pragma once
// A dense linear on a GPU: a product of device/product.hpp each way.

#include <ATen/core/Tensor.h>

namespace bitmill {

// As dense_linear(), which calls it: x weight^T. Both of one element type. Weight has no gradient,
// and must outlive the backward pass.
at::Tensor device_linear(const at::Tensor& x, const at::Tensor& weight);

}  // namespace bitmill

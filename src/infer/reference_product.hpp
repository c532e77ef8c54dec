#pragma once
// A product in float32 with libtorch's matrix product, to hold the fast ones against.

#include <ATen/core/Tensor.h>

#include <memory>

#include "product/product.hpp"

namespace bitmill {

// weight [rows, cols] float32, which is kept. The sums of a token may differ in their last bits
// with the number of tokens in a call, as libtorch's do.
std::unique_ptr<Product> make_reference_product(const at::Tensor& weight);

}  // namespace bitmill

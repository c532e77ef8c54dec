#pragma once
// Products of weights that are not packed: the head, and linears that were left in 16 bits.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "format/dtype.hpp"
#include "product/product.hpp"

namespace bitmill {

// Keeps `weight` as it is stored: [rows, cols] row-major, of a float dtype. The weight is widened
// to float32 on the way, element by element, and never held so. `options.activations` is not
// looked at: x is always taken as float32.
std::unique_ptr<Product> make_dense_product(std::span<const std::byte> weight, Dtype dtype,
                                            int64_t rows, int64_t cols, const std::string& name,
                                            const ProductOptions& options);

// Rounds `weight` to int8 with one scale per row (the largest magnitude is 127), and keeps that.
// x is taken as `options.activations` says. NumericError when the weight is not finite, FormatError
// for more than 131,072 columns.
std::unique_ptr<Product> make_int8_product(std::span<const std::byte> weight, Dtype dtype,
                                           int64_t rows, int64_t cols, const std::string& name,
                                           const ProductOptions& options);

}  // namespace bitmill

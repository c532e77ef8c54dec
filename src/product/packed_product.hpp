#pragma once
// The product of a packed linear (format/packed_linear.hpp), computed on its bits.

#include <memory>
#include <string>

#include "format/packed_linear.hpp"
#include "product/product.hpp"

namespace bitmill {

// `name` is the weight's, for errors. `linear` is repacked into tiles of 16 rows (README.md) that
// take as many bytes, and is not needed afterwards. Any shape, with 0 rows, 0 low or 0 salient
// columns too; FormatError for more than 131,072 columns, whose sums might not fit 32 bits.
//
// With s = row_scale, m = row_mean, r = col_gain, k = code_scale, z = code_zero:
//   y_i = s_i sum_j sign_ij x^_j + m_i sum_j x^_j + k_i sum_c (q_ic - z_i) x_c,   x^_j = r_j x_j.
// int8, int16: x^ and the salient x are rounded once per token, each with a scale of its own. The
// three sums are then sums of whole numbers, and exact.
std::unique_ptr<Product> make_packed_product(const PackedLinear& linear, const std::string& name,
                                             const ProductOptions& options);

}  // namespace bitmill

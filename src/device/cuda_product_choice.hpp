#pragma once
// The algorithm of cublasLt for a product: how it is chosen, and how a choice travels to another
// process. Internal to device.

#include <ATen/core/Tensor.h>
#include <cublasLt.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace bitmill {

// What the algorithm, and so the bits of a product, depends on.
struct ProductShape {
  int64_t m, n, k;
  at::ScalarType in, out;
  bool a_by_columns, b_by_columns;
  int64_t a_stride, b_stride, out_stride;

  auto operator<=>(const ProductShape&) const = default;

  // "float32 [m, n] in rows n apart = ...", for people.
  std::string words() const;
};

// A product that is ready to be queued. cublasLt stores matrices by columns, so it multiplies the
// transposed ones: out' = b' a'.
struct PlannedProduct {
  cublasLtMatmulDescOpaque_t description = {};
  cublasLtMatrixLayoutOpaque_t b = {}, a = {}, out = {};
  cublasLtMatmulAlgo_t algorithm = {};
  size_t workspace = 0;
};

// DeviceError with cublasLt's words and the shape, unless `status` is success.
void check_product(cublasStatus_t status, std::string_view call, const ProductShape& shape,
                   int device);

// A product of this shape without an algorithm. Out's lines are its rows.
PlannedProduct described_product(const ProductShape& shape, int device);
// Sets the first algorithm of cublasLt's list, which is the fastest by its estimate, that keeps its
// order. DeviceError where none does.
void choose_algorithm(cublasLtHandle_t handle, const ProductShape& shape, int device,
                      PlannedProduct& planned);
// cublasLt's numbers of the algorithm, in words.
std::string algorithm_words(const PlannedProduct& planned);

// A choice as numbers, so that all its bytes mean something.
using ProductChoice = std::array<int64_t, 19>;
ProductChoice choice_of(const ProductShape& shape, const PlannedProduct& planned);
ProductShape shape_of(const ProductChoice& choice);
// DeviceError where cublasLt does not carry out this choice here.
PlannedProduct planned_product(cublasLtHandle_t handle, const ProductChoice& choice, int device);

}  // namespace bitmill

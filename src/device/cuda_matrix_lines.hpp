#pragma once
// How a matrix lies in the memory of a GPU, as a product by cublasLt needs to know it.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace bitmill {

// What an algorithm may rely on, whatever the operands' addresses happen to be: an algorithm that
// is chosen by address would change the bits from one run to the next.
inline constexpr uint32_t promised_alignment = 16;

// A matrix in memory: lines with `stride` elements from one to the next. A line is a row, or a
// column where `by_columns`.
struct Lines {
  at::Tensor matrix;
  bool by_columns = false;
  int64_t stride = 0;

  int64_t length() const { return matrix.size(by_columns ? 0 : 1); }
  int64_t count() const { return matrix.size(by_columns ? 1 : 0); }
  Lines transposed() const { return {matrix.t(), !by_columns, stride}; }
};

// The matrix as it lies, by rows where both would do; nothing where its lines do not all begin at
// the promised alignment.
std::optional<Lines> lines_in_place(const at::Tensor& matrix);
// Fresh memory of the matrix's shape and type, with lines that begin where they should. Lines and
// stride are those in place, where only the matrix's address is the reason for a copy.
Lines aligned_like(const at::Tensor& matrix);
// The matrix where it lies, or a copy.
Lines lines_of(const at::Tensor& matrix);

}  // namespace bitmill

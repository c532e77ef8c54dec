#include "device/cuda_matrix_lines.hpp"

#include <ATen/ATen.h>

#include "base/pieces.hpp"
#include "kernels/element.hpp"

namespace bitmill {

namespace {

// As the matrix lies, but for the place where it begins.
std::optional<Lines> lines_anywhere(const at::Tensor& matrix) {
  for (const bool by_columns : {false, true}) {
    Lines lines{matrix, by_columns, matrix.stride(by_columns ? 1 : 0)};
    // The stride of a single line, or within lines of one element, means nothing.
    if (lines.count() == 1) lines.stride = rounded_up(lines.length(), kernels::operand_step);
    const bool dense = lines.length() == 1 || matrix.stride(by_columns ? 0 : 1) == 1;
    const auto bytes = static_cast<uint64_t>(lines.stride * matrix.element_size());
    if (dense && lines.stride >= lines.length() && bytes % promised_alignment == 0) return lines;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Lines> lines_in_place(const at::Tensor& matrix) {
  const auto address = reinterpret_cast<uintptr_t>(matrix.const_data_ptr());
  return address % promised_alignment == 0 ? lines_anywhere(matrix) : std::nullopt;
}

// As in place, where that is possible at another address: an algorithm is chosen by the strides.
Lines aligned_like(const at::Tensor& matrix) {
  const auto lying = lines_anywhere(matrix);
  const bool by_columns = lying && lying->by_columns;
  const int64_t length = matrix.size(by_columns ? 0 : 1), count = matrix.size(by_columns ? 1 : 0);
  const int64_t stride = lying ? lying->stride : rounded_up(length, kernels::operand_step);
  const at::Tensor lines = at::empty({count, stride}, matrix.options()).narrow(1, 0, length);
  return {by_columns ? lines.t() : lines, by_columns, stride};
}

Lines lines_of(const at::Tensor& matrix) {
  if (const auto lines = lines_in_place(matrix)) return *lines;
  Lines copy = aligned_like(matrix);
  copy.matrix.copy_(matrix);
  return copy;
}

}  // namespace bitmill

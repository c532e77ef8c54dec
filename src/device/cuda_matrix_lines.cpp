#include "device/cuda_matrix_lines.hpp"

#include <ATen/ATen.h>

#include "base/pieces.hpp"
#include "kernels/element.hpp"

namespace bitmill {

std::optional<Lines> lines_in_place(const at::Tensor& matrix) {
  const auto address = reinterpret_cast<uintptr_t>(matrix.const_data_ptr());
  for (const bool by_columns : {false, true}) {
    Lines lines{matrix, by_columns, matrix.stride(by_columns ? 1 : 0)};
    // The stride of a single line, or within lines of one element, means nothing.
    if (lines.count() == 1) lines.stride = rounded_up(lines.length(), kernels::operand_step);
    const bool dense = lines.length() == 1 || matrix.stride(by_columns ? 0 : 1) == 1;
    const auto bytes = static_cast<uint64_t>(lines.stride * matrix.element_size());
    if (dense && lines.stride >= lines.length() && (address | bytes) % promised_alignment == 0) {
      return lines;
    }
  }
  return std::nullopt;
}

Lines aligned_like(const at::Tensor& matrix) {
  const int64_t stride = rounded_up(matrix.size(1), kernels::operand_step);
  const at::Tensor wide = at::empty({matrix.size(0), stride}, matrix.options());
  return {wide.narrow(1, 0, matrix.size(1)), false, stride};
}

Lines lines_of(const at::Tensor& matrix) {
  if (const auto lines = lines_in_place(matrix)) return *lines;
  Lines copy = aligned_like(matrix);
  copy.matrix.copy_(matrix);
  return copy;
}

}  // namespace bitmill

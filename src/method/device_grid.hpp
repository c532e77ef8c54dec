#pragma once
// quantize_linear() for a weight on a GPU.

#include <ATen/core/Tensor.h>

#include <span>

#include "method/grid.hpp"

namespace bitmill {

// Which columns are which: int64, on the host, ascending.
struct ColumnLists {
  at::Tensor low, salient;
};

// As quantize_linear(), with the same bits; what it returns is on the GPU. Beside the weight it
// holds a copy of the salient columns, and with learned signs one of the low columns.
InitialLinear quantize_on_gpu(const at::Tensor& weight, const ColumnLists& columns,
                              const MethodSettings& settings, std::span<const float> mean_square);

}  // namespace bitmill

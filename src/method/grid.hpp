#pragma once
// What is fixed before a block is trained: the structured mask, 4-bit codes, signs and the first
// scales (spec sections 1 to 3). One obvious implementation, a row per task: it runs once per
// block.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "method/settings.hpp"

namespace bitmill {

// The floor(ratio * cols) + 1 columns of greatest saliency (all, when there are fewer), ascending.
// Of equal saliencies the lower column comes first.
std::vector<int64_t> salient_columns(std::span<const float> saliency, const ExactRatio& ratio);

// The 4-bit grid of one row: W ~ scale * (code - zero).
struct CodeGrid {
  float scale = 0;
  float zero = 0;  // a whole number 0 .. 15
};
// From the least and greatest value of the range; 0 is always inside it. When both are 0 the range
// is [-1, 1]. Rounding is half to even.
CodeGrid make_code_grid(float least, float greatest);
uint8_t encode(float value, const CodeGrid& grid);

// mu and alpha of one row: means over the entries that are not exactly 0. Sums are made in double
// and rounded once. Of no entries: both 0.
struct RowMoments {
  float mean = 0;      // mu
  float mean_abs = 0;  // alpha
};
RowMoments row_moments(std::span<const float> values);

struct InitialLinear {
  FrozenLinear frozen;
  at::Tensor row_scale;  // float32 [rows], the first alpha
};

// weight float32 [rows, cols], contiguous; saliency [cols] of its input.
InitialLinear quantize_linear(const at::Tensor& weight, std::span<const float> saliency,
                              const MethodSettings& settings, ThreadPool& pool);

}  // namespace bitmill

#pragma once
// What a block is before it is trained: the structured mask, 4-bit codes, signs or their latents,
// and the first scales (METHOD.md, "The mask", "The 4-bit grid", "First values", "Learned signs").
// It runs once per block: on the host with a task per row, on a GPU by kernels and libtorch, with
// the same bits.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "method/grid_element.hpp"
#include "method/learned.hpp"
#include "method/settings.hpp"

namespace bitmill {

// The floor(ratio * cols) + 1 columns of greatest saliency (all, when there are fewer), ascending.
// Of equal saliencies the lower column comes first.
std::vector<int64_t> salient_columns(std::span<const float> saliency, const ExactRatio& ratio);

uint8_t encode(float value, const CodeGrid& grid);
// The grid of the same range multiplied by one of {1, .95, .9, .85, .8, .75, .7}: the factor with
// the least sum_j importance_j (W^_j - W_j)^2 over `values`, and of equal ones the first.
CodeGrid make_clipped_grid(float least, float greatest, std::span<const float> values,
                           std::span<const float> importance);

// Means over those entries of one row that are not exactly 0. Sums are made in double and rounded
// once. All are 0 when there are no such entries.
struct RowMoments {
  float mean = 0;            // of W: mu
  float mean_abs = 0;        // of |W|: alpha
  float mean_deviation = 0;  // of |W - mu|: alpha when `center` is set, and a latent's unit
};
RowMoments row_moments(std::span<const float> values);

struct InitialLinear {
  FrozenLinear frozen;
  at::Tensor row_scale;  // float32 [rows], the first alpha; where `frozen` is, like the latents
  // float32 [rows, low], the first theta: (W - mu) / mean |W - mu|, clamped to +-1.4. In a row
  // whose entries all equal their mean, theta and alpha begin at 0. Undefined unless signs are
  // learned.
  at::Tensor latents = {};
};

// No latent begins with a greater magnitude than this (METHOD.md, "Learned signs").
inline constexpr float largest_first_latent = 1.4F;

// weight float32 [rows, cols], contiguous. On a GPU the result is there too, as FrozenLinear says.
// `saliency` and `mean_square` are of the linear's input, [cols] each, on the host; `mean_square`
// is needed only where the 4-bit range is clipped.
InitialLinear quantize_linear(const at::Tensor& weight, std::span<const float> saliency,
                              const MethodSettings& settings, ThreadPool& pool,
                              std::span<const float> mean_square = {});

// What is learned of `linear`, with its first values. No other place decides what is learned.
LearnedTensors learned_of(const InitialLinear& linear, const MethodSettings& settings);
// The same for a linear of which only the shape is known; without first values.
LearnedTensors learned_of(int64_t rows, int64_t low, const MethodSettings& settings);

}  // namespace bitmill

#pragma once
// What a block is before it is trained: the structured mask, 4-bit codes, signs or their latents,
// and the first scales (METHOD.md, "The mask", "The 4-bit grid", "First values", "Learned signs").
// One obvious implementation, a row per task: it runs once per block.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.hpp"
#include "base/thread_pool.hpp"
#include "method/learned.hpp"
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
// That range scaled by the factor of {1, .95, .9, .85, .8, .75, .7} with the least
// sum_j importance_j (W^_j - W_j)^2 over `values`; of equals the first.
CodeGrid make_clipped_grid(float least, float greatest, std::span<const float> values,
                           std::span<const float> importance);

// Of one row: means over the entries that are not exactly 0. Sums are made in double and rounded
// once. Of no entries: all 0.
struct RowMoments {
  float mean = 0;            // of W: mu
  float mean_abs = 0;        // of |W|: alpha
  float mean_deviation = 0;  // of |W - mu|: alpha where it is centred, and a latent's unit
};
RowMoments row_moments(std::span<const float> values);

struct InitialLinear {
  FrozenLinear frozen;
  at::Tensor row_scale;  // float32 [rows], the first alpha
  // float32 [rows, low], the first theta: (W - mu) / mean |W - mu| within +-1.4. A row that is its
  // mean everywhere begins with theta and alpha 0. Undefined unless signs are learned.
  at::Tensor latents = {};
};

// Latents begin within this (METHOD.md, "Learned signs").
inline constexpr float largest_first_latent = 1.4F;

// weight float32 [rows, cols], contiguous; of its input [cols]: saliency, and, where the 4-bit
// range is clipped, the mean square.
InitialLinear quantize_linear(const at::Tensor& weight, std::span<const float> saliency,
                              const MethodSettings& settings, ThreadPool& pool,
                              std::span<const float> mean_square = {});

// What is learned of `linear`, with its first values: the one place that says so.
LearnedTensors learned_of(const InitialLinear& linear, const MethodSettings& settings);
// The same of a linear of this shape that is not at hand, without first values.
LearnedTensors learned_of(int64_t rows, int64_t low, const MethodSettings& settings);

}  // namespace bitmill

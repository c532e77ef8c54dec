#pragma once
// Second moments of the linears' inputs in the student's stream (METHOD.md, "Moments of the
// inputs"): of every channel where the 4-bit range is clipped, of every pair of channels for
// coordinate descent.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_pool.hpp"
#include "method/settings.hpp"
#include "model/block_forward.hpp"

namespace bitmill {

// Where the moments of each input lie in one flat vector. Linears that read the same input share
// them.
class MomentLayout {
 public:
  enum class Width { channels, pairs };

  MomentLayout(std::span<const LinearShape> linears, Width width);

  // The width that the settings need; nothing when they look at no moments.
  static std::optional<Width> needed(const MethodSettings& settings);

  int64_t size() const { return offsets_.back(); }
  Width width() const { return width_; }
  // [cols], or [cols, cols] row by row.
  std::span<const float> part(std::span<const float> flat, LinearRole role) const;
  // The moments of single channels, in the order of a layout of Width::channels.
  std::vector<float> mean_squares(std::span<const float> flat) const;

  // One sample's part: fills `sums` (size() values) with sum_t x_ta x_tb of the inputs that a dense
  // forward of `x` meets, and returns its output [T, hidden].
  at::Tensor probing_forward(const ModelConfig& config, const BlockWeights& weights,
                             const Rotary& rotary, const at::Tensor& x, std::span<float> sums,
                             ThreadPool& pool) const;

 private:
  size_t offset(LinearRole role) const;
  size_t count(LinearRole role) const;

  Width width_;
  std::vector<int64_t> cols_;     // of each input
  std::vector<int64_t> offsets_;  // inputs + 1
};

}  // namespace bitmill

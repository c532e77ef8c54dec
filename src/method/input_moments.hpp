#pragma once
// Second moments of the linears' inputs in the student's stream (METHOD.md, "Moments of the
// inputs"). Clipping the 4-bit range needs those of single channels, coordinate descent those of
// pairs of channels.

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

  // The width that the settings need; nothing when they need no moments.
  static std::optional<Width> needed(const MethodSettings& settings);

  int64_t size() const { return offsets_.back(); }
  Width width() const { return width_; }
  // The moments of this linear's input in a flat tensor [size()]: a view [cols] or [cols, cols].
  at::Tensor part(const at::Tensor& flat, LinearRole role) const;
  // The moments of single channels, in the order that a layout of Width::channels has. A copy.
  at::Tensor mean_squares(const at::Tensor& flat) const;

  // The moments of one sample: runs a dense forward of `x`, fills `sums` ([size()] float32) with
  // sum_t x_ta x_tb over the inputs of its linears, and returns the output [T, hidden]. All may be
  // on a GPU; products of bfloat16 inputs are exact there, and add up in float32. `sums` may be on
  // the host all the same, and then each input waits for its part.
  at::Tensor probing_forward(const ModelConfig& config, const BlockWeights& weights,
                             const Rotary& rotary, const at::Tensor& x, const at::Tensor& sums,
                             ThreadPool& pool) const;

 private:
  at::Tensor part_of_input(const at::Tensor& flat, size_t input) const;

  Width width_;
  std::vector<int64_t> cols_;     // of each input
  std::vector<int64_t> offsets_;  // inputs + 1
};

}  // namespace bitmill

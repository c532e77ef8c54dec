#include "method/input_moments.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// A block's inputs in the order in which a forward meets them: the normed stream, attention's
// output, the normed stream between, the activated product.
constexpr size_t inputs_per_block = 4;

size_t input_of(LinearRole role) {
  switch (role) {
    case LinearRole::query:
    case LinearRole::key:
    case LinearRole::value:
      return 0;
    case LinearRole::attention_output:
      return 1;
    case LinearRole::gate:
    case LinearRole::up:
      return 2;
    case LinearRole::down:
      return 3;
  }
  return 0;
}

// x [T, cols] -> [cols, cols]
void pair_sums(const at::Tensor& x, float* out, ThreadPool& pool) {
  const int64_t cols = x.size(1);
  parallel_pieces(pool, cols, rows_per_tile, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    at::Tensor rows = at::from_blob(out + first * cols, {count, cols});
    at::mm_out(rows, x.narrow(1, first, count).t(), x);
  });
}

}  // namespace

std::optional<MomentLayout::Width> MomentLayout::needed(const MethodSettings& settings) {
  if (settings.init == Init::descent) return Width::pairs;
  if (settings.int4_clip) return Width::channels;
  return std::nullopt;
}

MomentLayout::MomentLayout(std::span<const LinearShape> linears, Width width)
    : width_(width), cols_(inputs_per_block, 0), offsets_{0} {
  for (const LinearShape& linear : linears) cols_[input_of(linear.role)] = linear.cols;
  for (const int64_t cols : cols_) {
    offsets_.push_back(offsets_.back() + (width == Width::pairs ? cols * cols : cols));
  }
}

size_t MomentLayout::offset(LinearRole role) const {
  return static_cast<size_t>(offsets_[input_of(role)]);
}

size_t MomentLayout::count(LinearRole role) const {
  return static_cast<size_t>(offsets_[input_of(role) + 1]) - offset(role);
}

std::span<const float> MomentLayout::part(std::span<const float> flat, LinearRole role) const {
  return flat.subspan(offset(role), count(role));
}

std::vector<float> MomentLayout::mean_squares(std::span<const float> flat) const {
  if (width_ == Width::channels) return {flat.begin(), flat.end()};
  std::vector<float> diagonals;
  for (size_t input = 0; input < cols_.size(); ++input) {
    for (int64_t j = 0; j < cols_[input]; ++j) {
      diagonals.push_back(flat[static_cast<size_t>(offsets_[input] + j * cols_[input] + j)]);
    }
  }
  return diagonals;
}

at::Tensor MomentLayout::probing_forward(const ModelConfig& config, const BlockWeights& weights,
                                         const Rotary& rotary, const at::Tensor& x,
                                         std::span<float> sums, ThreadPool& pool) const {
  std::array<bool, inputs_per_block> seen = {};
  return dense_block_forward(config, weights, rotary, x, pool,
                             [&](size_t linear, const at::Tensor& input) {
                               const LinearRole role = config.family->linears[linear].role;
                               if (std::exchange(seen[input_of(role)], true)) return;
                               float* out = sums.data() + offset(role);
                               if (width_ == Width::pairs) {
                                 pair_sums(input.contiguous(), out, pool);
                               } else {
                                 const at::Tensor squares = input.square().sum(0);
                                 std::copy_n(squares.data_ptr<float>(), input.size(1), out);
                               }
                             });
}

}  // namespace bitmill

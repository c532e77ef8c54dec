#include "method/input_moments.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/pieces.hpp"
#include "device/product.hpp"

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

// x [T, cols] -> out [cols, cols], a float32 tensor on the host or on x's device.
void pair_sums(const at::Tensor& x, const at::Tensor& out, ThreadPool& pool) {
  const int64_t cols = x.size(1);
  if (x.is_cuda()) {
    if (out.is_cuda()) {
      product_into(out, x.t(), x);
    } else {
      out.copy_(product_in_float32(x.t(), x));
    }
    return;
  }
  parallel_pieces(pool, cols, rows_per_tile, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad;
    at::Tensor rows = out.narrow(0, first, count);
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

at::Tensor MomentLayout::part_of_input(const at::Tensor& flat, size_t input) const {
  const int64_t cols = cols_[input];
  const at::Tensor part = flat.narrow(0, offsets_[input], offsets_[input + 1] - offsets_[input]);
  return width_ == Width::pairs ? part.view({cols, cols}) : part;
}

at::Tensor MomentLayout::part(const at::Tensor& flat, LinearRole role) const {
  return part_of_input(flat, input_of(role));
}

at::Tensor MomentLayout::mean_squares(const at::Tensor& flat) const {
  if (width_ == Width::channels) return flat.clone();
  std::vector<at::Tensor> diagonals;
  for (size_t input = 0; input < cols_.size(); ++input) {
    diagonals.push_back(part_of_input(flat, input).diagonal());
  }
  return at::cat(diagonals);
}

at::Tensor MomentLayout::probing_forward(const ModelConfig& config, const BlockWeights& weights,
                                         const Rotary& rotary, const at::Tensor& x,
                                         const at::Tensor& sums, ThreadPool& pool) const {
  std::array<bool, inputs_per_block> seen = {};
  return dense_block_forward(config, weights, rotary, x, pool,
                             [&](size_t linear, const at::Tensor& input) {
                               const LinearRole role = config.family->linears[linear].role;
                               if (std::exchange(seen[input_of(role)], true)) return;
                               at::Tensor out = part(sums, role);
                               if (width_ == Width::pairs) {
                                 pair_sums(input.contiguous(), out, pool);
                               } else {
                                 out.copy_(input.to(at::kFloat).square().sum(0));
                               }
                             });
}

}  // namespace bitmill

// The losses and the reports of BlockCompute: whether training goes well, and what a packed block
// is worth.

#include "pipeline/blocks/block_compute.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/error.hpp"
#include "model/tensor_floats.hpp"
#include "pipeline/folder/run_log.hpp"

namespace bitmill {

void BlockCompute::check_losses(const Position& at) const {
  const at::Tensor all = losses_.cpu();
  const std::span<const float> losses = floats_of(all);
  for (size_t i = 0; i < losses.size(); ++i) {
    BITMILL_CHECK(std::isfinite(losses[i]), NumericError,
                  fmt::format("the loss of block {}, epoch {}, sample {} is {}; {}", at.block,
                              at.epoch, share_.own()[i], losses[i], advice_for_loss(at, i)));
  }
}

// Streams are finite. So a loss that is not has one of two causes: what was learned so far, or
// targets whose squares leave float32. Before the first step nothing was learned.
std::string BlockCompute::advice_for_loss(const Position& at, size_t own) const {
  const float target =
      targets_.at(at.block)->load(static_cast<int64_t>(own)).abs().max().item<float>();
  constexpr float largest_square_root = 1e18F;  // a sum of more than 100 such squares overflows
  const PositionRange first_step =
      owned_positions(share_.batch_size(0), share_.replicas(), share_.replica());
  const bool untrained = at.epoch == 0 && std::cmp_less(own, first_step.size());
  if (untrained || target > largest_square_root) {
    return fmt::format(
        "no rate is the cause: the full-precision output of this block reaches "
        "{:g}, and the error is squared in float32; the model is damaged, or this "
        "block can only be left as it is (--max-blocks, --ignore)",
        target);
  }
  return fmt::format("lower --lr-scale ({}), --lr-gain ({}) and the rates of what else is learned",
                     context_.options.method.lr_scale, context_.options.method.lr_gain);
}

std::vector<double> BlockCompute::all_losses() const {
  const at::Tensor losses = losses_.cpu().to(at::kDouble);
  return share_.gather_in_order(replicas(), doubles_of(losses), 1);
}

void BlockCompute::report_block(int block, std::span<const Closeness> own) {
  std::vector<double> values;
  for (const Closeness& one : own) {
    values.insert(values.end(), {one.squared_error, one.squared_target, one.cosine, one.tokens});
  }
  constexpr int64_t values_each = 4;
  const std::vector<double> all = share_.gather_in_order(replicas(), values, values_each);
  Closeness sum;
  for (size_t i = 0; i < all.size(); i += values_each) {
    sum.squared_error += all[i];
    sum.squared_target += all[i + 1];
    sum.cosine += all[i + 2];
    sum.tokens += all[i + 3];
  }
  BlockReport& report = reports_[block];
  report.cosine = sum.cosine / sum.tokens;
  report.relative_error =
      sum.squared_target > 0 ? std::sqrt(sum.squared_error / sum.squared_target) : 0;
  report.bits_per_weight = live_->bits_per_weight();
  reported_[block] = true;
  if (context_.writer != nullptr && logged_.insert(block).second) {
    context_.writer->begin_event(packed_line(report));
  }
  context_.observer.block_packed(report);
}

std::vector<BlockReport> BlockCompute::reports() const {
  std::vector<BlockReport> known;
  for (const BlockReport& report : reports_) {
    if (reported_[static_cast<size_t>(report.block)]) known.push_back(report);
  }
  return known;
}

}  // namespace bitmill

#include "pipeline/tuning/stage_optimizer.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace bitmill {
namespace {

// Elements [first, first + size) of every sum: views.
Partials parts_of(const Partials& sums, int64_t first, int64_t size) {
  Partials parts;
  for (const auto& [position, sum] : sums) parts[position] = sum.narrow(0, first, size);
  return parts;
}

}  // namespace

StageOptimizer::StageOptimizer(const TrainedStage& stage, const RateCurve& rates,
                               const Replicas& replicas, const Device& device)
    : stage_(stage), replicas_(replicas), device_(device) {
  for (int i = 0; i < stage.blocks(); ++i) {
    blocks_.push_back(std::make_unique<ShardedOptimizer>(stage.block(i).layout().small_part(),
                                                         rates, replicas, device));
  }
  begin_large(rates, 0);
}

void StageOptimizer::begin_large(const RateCurve& rates, int64_t first) {
  large_.clear();
  first_of_large_ = first;
  for (int i = 0; i < stage_.blocks(); ++i) {
    const LearnedLayout& layout = stage_.block(i).layout();
    large_.push_back(layout.has_large() ? std::make_unique<ShardedOptimizer>(
                                              layout.large_part(), rates, replicas_, device_)
                                        : nullptr);
  }
}

void StageOptimizer::step(int64_t batch_size, std::vector<Partials> own,
                          const at::Tensor& trained) {
  for (int i = 0; i < stage_.blocks(); ++i) {
    const LearnedLayout& layout = stage_.block(i).layout();
    const int64_t small = layout.small_size(), large = layout.size() - small;
    const at::Tensor values = stage_.part(i, trained);
    const Partials sums = std::move(own[static_cast<size_t>(i)]);
    of(i).step(batch_size, parts_of(sums, 0, small), values.narrow(0, 0, small));
    if (large == 0) continue;
    of_large(i).step(batch_size, parts_of(sums, small, large), values.narrow(0, small, large));
  }
}

void StageOptimizer::set_steps(int64_t steps) {
  for (const auto& block : blocks_) block->set_steps(steps);
  for (const auto& block : large_) {
    if (block) block->set_steps(steps - first_of_large_);
  }
}

at::Tensor StageOptimizer::collect_small(Moment moment) {
  std::vector<at::Tensor> all = {at::empty({0})};
  for (int i = 0; i < stage_.blocks(); ++i) {
    all.push_back(of(i).collect(moment, 0, stage_.block(i).layout().small_size()));
  }
  return at::cat(all);
}

void StageOptimizer::hand_out_small(Moment moment, const at::Tensor& values) {
  int64_t first = 0;
  for (int i = 0; i < stage_.blocks(); ++i) {
    const int64_t size = stage_.block(i).layout().small_size();
    of(i).hand_out(moment, 0, size, values.narrow(0, first, size));
    first += size;
  }
}

}  // namespace bitmill

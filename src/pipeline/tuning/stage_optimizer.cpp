#include "pipeline/tuning/stage_optimizer.hpp"

#include <ATen/ATen.h>

#include <utility>

namespace bitmill {

StageOptimizer::StageOptimizer(const TrainedStage& stage, const RateCurve& rates,
                               const Replicas& replicas, const Device& device)
    : stage_(stage) {
  for (int i = 0; i < stage.blocks(); ++i) {
    blocks_.push_back(
        std::make_unique<ShardedOptimizer>(stage.block(i).layout(), rates, replicas, device));
  }
}

void StageOptimizer::step(int64_t batch_size, std::vector<Partials> own,
                          const at::Tensor& trained) {
  for (int i = 0; i < stage_.blocks(); ++i) {
    of(i).step(batch_size, std::move(own[static_cast<size_t>(i)]), stage_.part(i, trained));
  }
}

void StageOptimizer::set_steps(int64_t steps) {
  for (const auto& block : blocks_) block->set_steps(steps);
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

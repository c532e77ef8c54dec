#pragma once
// The optimisers of a stage, one for each of its blocks: so the state of a block can be saved and
// restored alone, on any number of stages. The bits are those of one optimiser over all blocks.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "device/device.hpp"
#include "pipeline/ranks/replicas.hpp"
#include "pipeline/sums/sharded_optimizer.hpp"
#include "pipeline/tuning/trained_stage.hpp"

namespace bitmill {

class StageOptimizer {
 public:
  // `replicas`: those of the stage. All arguments that are references outlive it.
  StageOptimizer(const TrainedStage& stage, const RateCurve& rates, const Replicas& replicas,
                 const Device& device);

  // Collective over the replicas: one step of all blocks, with the sums of TuningWalk::train().
  // `trained` [stage.layout().size()] changes in place, and is the same on every replica.
  void step(int64_t batch_size, std::vector<Partials> own, const at::Tensor& trained);

  // Of block i of the stage.
  ShardedOptimizer& of(int i) { return *blocks_[static_cast<size_t>(i)]; }
  void set_steps(int64_t steps);

  // What is not large, of all blocks, one behind the other. Collective over the replicas: on the
  // leader of the stage, on the host; an empty tensor elsewhere.
  at::Tensor collect_small(Moment moment);
  // The reverse. `values` are read on the leader.
  void hand_out_small(Moment moment, const at::Tensor& values);

 private:
  const TrainedStage& stage_;
  std::vector<std::unique_ptr<ShardedOptimizer>> blocks_;
};

}  // namespace bitmill

#pragma once
// The optimisers of a stage. Each of its blocks has one for what is not large, and one for what is
// (latents of signs): so the state of a block can be saved and restored alone, on any number of
// stages, and large things can be trained in steps of their own. The bits are those of one
// optimiser over all blocks.

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
  // `rates`: of everything. `replicas`: those of the stage. All arguments that are references
  // outlive it.
  StageOptimizer(const TrainedStage& stage, const RateCurve& rates, const Replicas& replicas,
                 const Device& device);

  // Collective over the replicas: one step of all blocks, with the sums of TuningWalk::train().
  // `trained` [stage.layout().size()] changes in place, and is the same on every replica.
  void step(int64_t batch_size, std::vector<Partials> own, const at::Tensor& trained);

  // Of what is not large of block i of the stage.
  ShardedOptimizer& of(int i) { return *blocks_[static_cast<size_t>(i)]; }
  // Of what is large of it. REQUIRES: there is something large.
  ShardedOptimizer& of_large(int i) { return *large_[static_cast<size_t>(i)]; }
  // What is large is forgotten, to be called before blocks of the stage are replaced, and begun
  // anew for those that are there now: at its first step, which is step `first` of the whole
  // training, with rates of its own.
  void forget_large() { large_.clear(); }
  void begin_large(const RateCurve& rates, int64_t first);
  // Steps of the whole training, when all moments were handed out.
  void set_steps(int64_t steps);

  // What is not large, of all blocks, one behind the other. Collective over the replicas: on the
  // leader of the stage, on the host; an empty tensor elsewhere.
  at::Tensor collect_small(Moment moment);
  // The reverse. `values` are read on the leader.
  void hand_out_small(Moment moment, const at::Tensor& values);

 private:
  const TrainedStage& stage_;
  const Replicas replicas_;
  const Device& device_;
  std::vector<std::unique_ptr<ShardedOptimizer>> blocks_;
  std::vector<std::unique_ptr<ShardedOptimizer>> large_;  // null where a block has nothing large
  int64_t first_of_large_ = 0;
};

}  // namespace bitmill

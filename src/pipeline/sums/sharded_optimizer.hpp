#pragma once
// One optimiser step over all replicas. Units are summed in the fixed tree. Each replica finishes
// the tree for its own slice of the learned values and takes the AdamW step on that slice. Then the
// new values are gathered. The bits do not depend on the number of replicas or threads.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "device/device.hpp"
#include "method/adamw.hpp"
#include "method/learned.hpp"
#include "pipeline/ranks/replicas.hpp"
#include "pipeline/sums/sliced_sum.hpp"

namespace bitmill {

// The learning rate over all steps of a block, however they are cut into turns.
struct RateCurve {
  RateSchedule schedule = RateSchedule::constant;
  int64_t total_steps = 1;
  int64_t warmup_steps = 0;  // over which the rate rises from 0; the schedule follows

  // What multiplies every rate at this step, counted from 0.
  double factor(int64_t step) const;
};

enum class Moment { first, second };

// Rounds every value of a flat tensor to bfloat16, where it lies.
void round_to_bfloat(const at::Tensor& values, ThreadPool& pool);

class ShardedOptimizer {
 public:
  // The layout may have any size. Values, gradients and moments lie on the device.
  ShardedOptimizer(const LearnedLayout& layout, const RateCurve& rates, const Replicas& replicas,
                   const Device& device);

  // Collective. `unit` fills in the gradient of one sample, [layout.size()]. `values`, of the same
  // shape, changes in place. It is the same on every rank before and after the call.
  void step(int64_t batch_size, const SumUnit& unit, const at::Tensor& values);
  // The same, with the sums over this rank's own positions already made (GrowingSums).
  void step(int64_t batch_size, Partials own, const at::Tensor& values);

  int64_t steps() const { return steps_; }
  const Device& device() const { return device_; }

  // Collective. Elements [begin, end) of a moment on rank 0, on the host; an empty tensor on other
  // ranks. Valid until the next step, because it may be a view where rank 0 is alone.
  at::Tensor collect(Moment moment, int64_t begin, int64_t end) const;
  // The reverse of collect(), collective. `values` [end - begin] on rank 0, on the host; ignored on
  // the others.
  void hand_out(Moment moment, int64_t begin, int64_t end, const at::Tensor& values);
  // To be called after all moments were handed out: the number of steps that are in them.
  void set_steps(int64_t steps) { steps_ = steps; }

  // Rounds this rank's moments of the elements from `begin` on to bfloat16.
  void round_moments(int64_t begin);

 private:
  // Takes the step with this rank's slice of the sum.
  void apply(int64_t batch_size, const at::Tensor& sum, const at::Tensor& values);
  // The part of elements [begin, end) that this rank has; a view.
  at::Tensor own_moment(Moment moment, int64_t begin, int64_t end) const;

  Communicator& comm_;
  const Device& device_;
  const RateCurve rates_;
  SlicedSum sum_;
  AdamW adamw_;
  int64_t steps_ = 0;
};

}  // namespace bitmill

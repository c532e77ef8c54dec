#pragma once
// One optimiser step over all replicas: units summed in the fixed tree, each replica finishing the
// tree and stepping AdamW on its own slice of the parameters, and the new values gathered. The
// bits do not depend on the number of replicas or threads.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "method/adamw.hpp"
#include "method/learned.hpp"
#include "pipeline/sums/sliced_sum.hpp"

namespace bitmill {

// The rate over all steps of a block, whatever turns they are cut into.
struct RateCurve {
  RateSchedule schedule = RateSchedule::constant;
  int64_t total_steps = 1;
};

enum class Moment { first, second };

class ShardedOptimizer {
 public:
  // Every rank of `comm` is a replica. The layout's size may be anything.
  ShardedOptimizer(const LearnedLayout& layout, const RateCurve& rates, Communicator& comm,
                   ThreadPool& pool);

  // Collective. `unit` gives the gradient of a sample, [layout.size()]. `values`, of that shape
  // too, changes in place; it is the same on every rank before and after.
  void step(int64_t batch_size, const SumUnit& unit, const at::Tensor& values);
  // The same, from what this rank has added up of its own positions (GrowingSums).
  void step(int64_t batch_size, Partials own, const at::Tensor& values);

  int64_t steps() const { return steps_; }

  // Collective. Elements [begin, end) of a moment, on rank 0; empty on the others. Good until the
  // next step: it is no copy where rank 0 is alone.
  at::Tensor collect(Moment moment, int64_t begin, int64_t end) const;
  // Collective: its counterpart. `values` [end - begin] on rank 0, ignored on the others.
  void hand_out(Moment moment, int64_t begin, int64_t end, const at::Tensor& values);
  // After all moments were handed out: how many steps they have seen.
  void set_steps(int64_t steps) { steps_ = steps; }

  // Rounds this rank's moments, of elements from `begin` on, to bfloat16.
  void round_moments(int64_t begin);

 private:
  // From this rank's slice of the sum.
  void apply(int64_t batch_size, const at::Tensor& sum, const at::Tensor& values);
  // What lies here of elements [begin, end); a view.
  at::Tensor own_moment(Moment moment, int64_t begin, int64_t end) const;

  Communicator& comm_;
  ThreadPool& pool_;
  const RateCurve rates_;
  SlicedSum sum_;
  AdamW adamw_;
  int64_t steps_ = 0;
};

}  // namespace bitmill

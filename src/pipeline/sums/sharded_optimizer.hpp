#pragma once
// One optimiser step over all replicas: units summed in the fixed tree, each replica finishing the
// tree and stepping AdamW on its own slice of the parameters, and the new values gathered. The
// bits do not depend on the number of replicas or threads.

#include <cstdint>
#include <span>
#include <vector>

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

  // The gradient of the sample at a position of the batch, layout.size() elements.
  using Unit = SlicedSum::Unit;

  // Collective. `values` (layout.size() elements) is the same on every rank before and after.
  void step(int64_t batch_size, const Unit& unit, std::span<float> values);
  // The same, from what this rank has added up of its own positions (GrowingSums).
  void step(int64_t batch_size, Partials<float> own, std::span<float> values);

  int64_t steps() const { return steps_; }

  // Collective. Elements [begin, end) of a moment, on rank 0; empty on the others.
  std::vector<float> collect(Moment moment, int64_t begin, int64_t end);
  // Collective: its counterpart. `values` (end - begin elements) on rank 0, ignored on the others.
  void hand_out(Moment moment, int64_t begin, int64_t end, std::span<const float> values);
  // After all moments were handed out: how many steps they have seen.
  void set_steps(int64_t steps) { steps_ = steps; }

  // Rounds this rank's moments, of elements from `begin` on, to bfloat16.
  void round_moments(int64_t begin);

 private:
  // From this rank's slice of the sum.
  void apply(int64_t batch_size, AlignedVector<float> sum, std::span<float> values);
  std::span<float> own_moment(Moment moment, int64_t begin, int64_t end);

  Communicator& comm_;
  ThreadPool& pool_;
  const RateCurve rates_;
  SlicedSum sum_;
  AdamW adamw_;
  int64_t steps_ = 0;
};

}  // namespace bitmill

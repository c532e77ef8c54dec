#pragma once
// One optimiser step over all replicas: units summed in the fixed tree, each replica finishing the
// tree and stepping AdamW on its own slice of the parameters, and the new values gathered. The
// bits do not depend on the number of replicas or threads.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.hpp"
#include "comm/communicator.hpp"
#include "method/adamw.hpp"
#include "method/learned.hpp"

namespace bitmill {

class ShardedOptimizer {
 public:
  // Every rank of `comm` is a replica. The layout's size may be anything.
  ShardedOptimizer(const LearnedLayout& layout, Communicator& comm, ThreadPool& pool);

  // The gradient of the sample at a position of the batch, layout.size() elements.
  using Unit = std::function<void(int64_t position, std::span<float> gradient)>;

  // Collective. `values` (layout.size() elements) is the same on every rank before and after.
  void step(int64_t batch_size, const Unit& unit, std::span<float> values);

  int64_t steps() const { return steps_; }

  // Collective: first and second moments of all elements, on every rank.
  struct State {
    std::vector<float> first_moment;
    std::vector<float> second_moment;
  };
  State gather_state();
  void restore(const State& state, int64_t steps);

 private:
  std::vector<float> reduce_own_slice(int64_t batch_size, const Unit& unit);
  int64_t slice_size(int replica) const { return bounds_[replica + 1] - bounds_[replica]; }
  void gather_slices(std::span<float> values);

  Communicator& comm_;
  ThreadPool& pool_;
  const int64_t size_;
  const std::vector<int64_t> bounds_;  // of slices, in elements
  AdamW adamw_;
  int64_t steps_ = 0;
};

}  // namespace bitmill

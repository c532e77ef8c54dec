#pragma once
// Sums over the samples of a batch in the fixed tree of schedule/reduction_tree.hpp: this rank's
// part of it, unit by unit. Units and sums are flat tensors of one length and dtype.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "base/thread_pool.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

// What is summed: [length], on the CPU.
struct FlatShape {
  int64_t length = 0;
  at::ScalarType dtype = at::kFloat;
};

// Fills all elements of `values`, which are anything before, with what the sample at a position of
// the batch adds.
using SumUnit = std::function<void(int64_t position, const at::Tensor& values)>;
// into = into (+) from.
using Merge = std::function<void(const at::Tensor& into, const at::Tensor& from)>;

// Sums by leftmost position. Products are written right into them: tensors begin at 64-byte
// boundaries.
using Partials = std::map<int64_t, at::Tensor>;

// The sums of the units of positions that this replica owns, made as soon as they can be. Whoever
// fills the units, additions are the same ones.
class GrowingSums {
 public:
  // Of a batch of n.
  GrowingSums(int64_t n, int replicas, int replica, const FlatShape& shape);

  // Room for the units of `positions`, not filled; they follow those of the last call.
  void open(const PositionRange& positions);
  const at::Tensor& at(int64_t position) const { return partials_.at(position); }
  // Units before position `end` are filled: merges what can now be merged.
  void merge_before(int64_t end, const Merge& merge);
  Partials take() { return std::move(partials_); }

 private:
  const FlatShape shape_;
  const std::vector<TreeAddition> additions_;
  size_t next_ = 0;
  Partials partials_;
};

// Calls `unit` for every position that this replica owns, on the pool, and `merge` for every
// addition it can make alone. At most pool.size() + log2(n) + 1 tensors of `shape` live at once.
// `between`, where there is one, is called on this thread each time that the pool has been through
// a unit a thread.
Partials sum_own_positions(int64_t n, int replicas, int replica, const FlatShape& shape,
                           ThreadPool& pool, const SumUnit& unit, const Merge& merge,
                           const std::function<void()>& between = {});

// The rest of the tree, over everybody's partial sums, in place; gives the one at position 0.
at::Tensor finish_tree(int64_t n, int replicas, const Partials& partials, const Merge& merge);

// into += from, spread over the pool.
void add_spread(const at::Tensor& into, const at::Tensor& from, ThreadPool& pool);

}  // namespace bitmill

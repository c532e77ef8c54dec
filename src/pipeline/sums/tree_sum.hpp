#pragma once
// Sums over the samples of a batch in the fixed tree of schedule/reduction_tree.hpp: this rank's
// part of it, unit by unit.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/aligned.hpp"
#include "base/thread_pool.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

// Partial sums by leftmost position. Products are written right into them.
template <class Value>
using Partials = std::map<int64_t, AlignedVector<Value>>;

// The sums of the units of positions that this replica owns, made as soon as they can be. Whoever
// fills the units, additions are the same ones.
template <class Value>
class GrowingSums {
 public:
  // Of units of `length` values, in a batch of n.
  GrowingSums(int64_t n, int replicas, int replica, int64_t length)
      : length_(length), additions_(local_additions(n, replicas, replica)) {}

  // Room for the units of `positions`, zeros; they follow those of the last call.
  void open(const PositionRange& positions) {
    for (int64_t p = positions.begin; p < positions.end; ++p) {
      partials_[p].resize(static_cast<size_t>(length_));
    }
  }
  std::span<Value> at(int64_t position) { return partials_.at(position); }
  // Units before position `end` are filled: merge(into, from) for what can now be added.
  template <class Merge>
  void merge_before(int64_t end, const Merge& merge) {
    for (; next_ < additions_.size() && additions_[next_].node.end <= end; ++next_) {
      merge(std::span<Value>(partials_.at(additions_[next_].into)),
            std::span<const Value>(partials_.at(additions_[next_].from)));
      partials_.erase(additions_[next_].from);
    }
  }
  Partials<Value> take() { return std::move(partials_); }

 private:
  const int64_t length_;
  const std::vector<TreeAddition> additions_;
  size_t next_ = 0;
  Partials<Value> partials_;
};

// Calls unit(position, values) for every position that this replica owns, on the pool, and
// merge(into, from) for every addition it can make alone. At most pool.size() + log2(n) + 1 vectors
// of `length` values live at once. `between`, where there is one, is called on this thread each
// time that the pool has been through a unit a thread.
template <class Value, class Unit, class Merge>
Partials<Value> sum_own_positions(int64_t n, int replicas, int replica, int64_t length,
                                  ThreadPool& pool, const Unit& unit, const Merge& merge,
                                  const std::function<void()>& between = {}) {
  const PositionRange own = owned_positions(n, replicas, replica);
  GrowingSums<Value> sums(n, replicas, replica, length);
  for (int64_t first = own.begin; first < own.end; first += pool.size()) {
    const int64_t last = std::min<int64_t>(own.end, first + pool.size());
    sums.open({first, last});
    pool.parallel_for(last - first, [&](int64_t i) { unit(first + i, sums.at(first + i)); });
    sums.merge_before(last, merge);
    if (between) between();
  }
  return sums.take();
}

// The rest of the tree, over everybody's partial sums; the result is at position 0.
template <class Value, class Merge>
std::span<Value> finish_tree(int64_t n, int replicas, std::map<int64_t, std::span<Value>>& partials,
                             const Merge& merge) {
  for (const TreeAddition& addition : final_additions(n, replicas)) {
    merge(partials.at(addition.into), std::span<const Value>(partials.at(addition.from)));
  }
  return partials.at(0);
}

}  // namespace bitmill

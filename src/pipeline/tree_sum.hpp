#pragma once
// Sums over the samples of a batch in the fixed tree of schedule/reduction_tree.hpp: this rank's
// part of it, unit by unit.

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/thread_pool.hpp"
#include "schedule/reduction_tree.hpp"

namespace bitmill {

// Partial sums by leftmost position.
template <class Value>
using Partials = std::map<int64_t, std::vector<Value>>;

// Calls unit(position, values) for every position that this replica owns, on the pool, and
// merge(into, from) for every addition it can make alone. Whatever the threads do, additions are
// the same ones. At most pool.size() + log2(n) + 1 vectors of `length` values live at once.
template <class Value, class Unit, class Merge>
Partials<Value> sum_own_positions(int64_t n, int replicas, int replica, int64_t length,
                                  ThreadPool& pool, const Unit& unit, const Merge& merge) {
  const PositionRange own = owned_positions(n, replicas, replica);
  const std::vector<TreeAddition> additions = local_additions(n, replicas, replica);
  Partials<Value> partials;
  size_t next = 0;
  for (int64_t first = own.begin; first < own.end; first += pool.size()) {
    const int64_t last = std::min<int64_t>(own.end, first + pool.size());
    for (int64_t p = first; p < last; ++p) partials[p].resize(static_cast<size_t>(length));
    pool.parallel_for(last - first, [&](int64_t i) {
      unit(first + i, std::span<Value>(partials.at(first + i)));
    });
    for (; next < additions.size() && additions[next].node.end <= last; ++next) {
      merge(std::span<Value>(partials.at(additions[next].into)),
            std::span<const Value>(partials.at(additions[next].from)));
      partials.erase(additions[next].from);
    }
  }
  return partials;
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

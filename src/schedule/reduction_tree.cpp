#include "schedule/reduction_tree.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Elements. So slices of 32-bit and 16-bit types begin at a cache line when the vector does.
constexpr int64_t slice_granularity = 64;

// Appends the additions of the node [begin, begin + width), cut at n; width is a power of two.
// First the left child, then the right child, then the node itself, so that node.end never
// decreases.
void append_node(int64_t n, int64_t begin, int64_t width, std::vector<TreeAddition>& additions) {
  if (width == 1) return;
  const int64_t middle = begin + width / 2;
  append_node(n, begin, width / 2, additions);
  if (middle >= n) return;  // no right child: the node is equal to its left child
  append_node(n, middle, width / 2, additions);
  additions.push_back({begin, middle, {begin, std::min(begin + width, n)}});
}

}  // namespace

PositionRange owned_positions(int64_t n, int replicas, int replica) {
  assert(n >= 0 && 0 <= replica && replica < replicas);
  return {n * replica / replicas, n * (replica + 1) / replicas};
}

std::vector<TreeAddition> tree_additions(int64_t n) {
  assert(n >= 0);
  std::vector<TreeAddition> additions;
  if (n > 1) append_node(n, 0, static_cast<int64_t>(std::bit_ceil(uint64_t(n))), additions);
  return additions;
}

std::vector<TreeAddition> local_additions(int64_t n, int replicas, int replica) {
  const PositionRange owned = owned_positions(n, replicas, replica);
  std::vector<TreeAddition> additions = tree_additions(n);
  std::erase_if(additions, [&](const TreeAddition& sum) { return !owned.contains(sum.node); });
  return additions;
}

std::vector<int64_t> local_partials(int64_t n, int replicas, int replica) {
  const PositionRange owned = owned_positions(n, replicas, replica);
  std::vector<bool> absorbed(static_cast<size_t>(owned.size()), false);
  for (const TreeAddition& sum : local_additions(n, replicas, replica)) {
    absorbed[static_cast<size_t>(sum.from - owned.begin)] = true;
  }
  std::vector<int64_t> partials;
  for (int64_t position = owned.begin; position < owned.end; ++position) {
    if (!absorbed[static_cast<size_t>(position - owned.begin)]) partials.push_back(position);
  }
  return partials;
}

std::vector<TreeAddition> final_additions(int64_t n, int replicas) {
  std::vector<int64_t> owner_end(static_cast<size_t>(n));  // [n] end of the owner's positions
  for (int replica = 0; replica < replicas; ++replica) {
    const PositionRange owned = owned_positions(n, replicas, replica);
    std::fill(owner_end.begin() + owned.begin, owner_end.begin() + owned.end, owned.end);
  }
  std::vector<TreeAddition> additions = tree_additions(n);
  std::erase_if(additions, [&](const TreeAddition& sum) {
    return sum.node.end <= owner_end[static_cast<size_t>(sum.node.begin)];
  });
  return additions;
}

std::vector<int64_t> slice_bounds(int64_t elements, int replicas) {
  assert(elements >= 0 && replicas >= 1);
  const int64_t grains = piece_count(elements, slice_granularity);
  std::vector<int64_t> bounds;
  for (int replica = 0; replica <= replicas; ++replica) {
    bounds.push_back(std::min(elements, grains * replica / replicas * slice_granularity));
  }
  return bounds;
}

int64_t peak_sums_in_flight(int64_t batch_size, int replicas, int replica, int threads) {
  const PositionRange own = owned_positions(batch_size, replicas, replica);
  const std::vector<TreeAddition> additions = local_additions(batch_size, replicas, replica);
  int64_t live = 0, peak = 0;
  size_t next = 0;
  for (int64_t first = own.begin; first < own.end; first += threads) {
    const int64_t last = std::min<int64_t>(own.end, first + threads);
    live += last - first;
    peak = std::max(peak, live);
    for (; next < additions.size() && additions[next].node.end <= last; ++next) --live;
  }
  return peak;
}

int64_t exchange_floats(int64_t size, int64_t batch_size, int replicas, int replica) {
  if (replicas == 1) return 0;
  const int64_t largest = piece_count(size, replicas);
  // Partial sums of all replicas: one more than the final additions, which join them into one sum.
  const int64_t incoming = std::ssize(final_additions(batch_size, replicas)) + 1;
  const int64_t outgoing = replicas * std::ssize(local_partials(batch_size, replicas, replica));
  return (incoming + outgoing) *
         std::min(largest, std::max<int64_t>(1, largest_exchange_floats / replicas));
}

int64_t summing_floats(int64_t size, int64_t batch_size, int replicas, int replica, int threads) {
  const int64_t adding = size * peak_sums_in_flight(batch_size, replicas, replica, threads);
  if (replicas == 1) return adding;
  const int64_t own = std::ssize(local_partials(batch_size, replicas, replica));
  return std::max(
      adding, size * own + size / replicas + exchange_floats(size, batch_size, replicas, replica));
}

}  // namespace bitmill

#pragma once
// The fixed binary tree over the positions of a batch, and who owns which positions.
//
// Node (j, i) is the sum over positions [i 2^j, (i+1) 2^j) within [0, n): left child plus right
// child; an absent child adds nothing. The tree depends on n alone, so a sum over it has the same
// bits however many replicas take part. A partial sum is named by its leftmost position.

#include <cstdint>
#include <vector>

namespace bitmill {

struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;  // exclusive

  int64_t size() const { return end - begin; }
  bool contains(PositionRange inner) const { return begin <= inner.begin && inner.end <= end; }
  bool operator==(const PositionRange&) const = default;
};

// [floor(n d / D), floor(n (d+1) / D)): perhaps empty.
PositionRange owned_positions(int64_t n, int replicas, int replica);

// sum[into] += sum[from]; the node it completes covers `node`.
struct TreeAddition {
  int64_t into = 0;
  int64_t from = 0;
  PositionRange node;

  bool operator==(const TreeAddition&) const = default;
};

// All n - 1 additions, ordered so that one is possible as soon as positions [0, node.end) and the
// additions before it are done.
std::vector<TreeAddition> tree_additions(int64_t n);

// Those that replica d can do alone: node within its positions. Same order.
std::vector<TreeAddition> local_additions(int64_t n, int replicas, int replica);
// The partial sums that remain at replica d afterwards: leftmost positions, ascending.
std::vector<int64_t> local_partials(int64_t n, int replicas, int replica);
// What is left when everybody has done the local ones. The result is at position 0.
std::vector<TreeAddition> final_additions(int64_t n, int replicas);

// Slice p of `elements` values cut for `replicas` owners: [bounds[p], bounds[p + 1]), at multiples
// of 64 elements but for the end; some may be empty.
std::vector<int64_t> slice_bounds(int64_t elements, int replicas);

}  // namespace bitmill

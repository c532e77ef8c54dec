#pragma once
// The fixed binary tree over the positions of a batch, who owns which positions, and what a sum
// over it takes of memory.
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

// What a replica holds while a vector is summed over a batch in this tree, as
// pipeline/sums/sliced_sum.hpp does it.

// What a rank sends of one partial sum in one exchange, over all its peers: 16 MiB. More would not
// be faster, and a rank may hold log2(batch) partial sums.
inline constexpr int64_t largest_exchange_floats = int64_t{4} << 20;

// Vectors that live at once while this replica adds up its own units, `threads` at a time.
int64_t peak_sums_in_flight(int64_t batch_size, int replicas, int replica, int threads);
// Floats that are on their way at once at this replica, sent and received.
int64_t exchange_floats(int64_t size, int64_t batch_size, int replicas, int replica);
// All of it, for a vector of `size` floats: sums in flight, and then those that are left, a slice
// of the whole one, and what travels.
int64_t summing_floats(int64_t size, int64_t batch_size, int replicas, int replica, int threads);

}  // namespace bitmill

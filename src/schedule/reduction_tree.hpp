#pragma once
// The fixed binary tree over the positions of a batch, which replica owns which positions, and how
// much memory a sum over the tree takes.
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

// The positions of replica d of D: [floor(n d / D), floor(n (d+1) / D)). They may be empty.
PositionRange owned_positions(int64_t n, int replicas, int replica);

// sum[into] += sum[from]. It completes the tree node that covers the positions `node`.
struct TreeAddition {
  int64_t into = 0;
  int64_t from = 0;
  PositionRange node;

  bool operator==(const TreeAddition&) const = default;
};

// All n - 1 additions, in order: each is possible as soon as positions [0, node.end) and the
// additions before it are done.
std::vector<TreeAddition> tree_additions(int64_t n);

// The additions that replica d can do alone, in the same order: their nodes lie in its positions.
std::vector<TreeAddition> local_additions(int64_t n, int replicas, int replica);
// The partial sums that replica d has after its local additions: leftmost positions, ascending.
std::vector<int64_t> local_partials(int64_t n, int replicas, int replica);
// The additions that are left when all replicas have done their local ones. The result is at
// position 0.
std::vector<TreeAddition> final_additions(int64_t n, int replicas);

// Cuts `elements` values into one slice for each replica: slice p is [bounds[p], bounds[p + 1]).
// All bounds but the last are multiples of 64 elements. Slices may be empty.
std::vector<int64_t> slice_bounds(int64_t elements, int replicas);

// The rest of this file: what a replica holds while pipeline/sums/sliced_sum.hpp sums a vector over
// a batch in this tree.

// How much of one partial sum a rank sends in one exchange, to all its peers together: 16 MiB. More
// would not be faster, but would need more memory: a rank may hold log2(batch) partial sums.
inline constexpr int64_t largest_exchange_floats = int64_t{4} << 20;

// The most vectors that live at once while this replica adds up its own units, `threads` at a time.
int64_t peak_sums_in_flight(int64_t batch_size, int replicas, int replica, int threads);
// Floats in the buffers of one exchange at this replica, sent and received.
int64_t exchange_floats(int64_t size, int64_t batch_size, int replicas, int replica);
// The peak for a vector of `size` floats. It is the larger of two: the sums in flight; or, after
// that, the partial sums that are left, a slice of the total sum, and the exchange's buffers.
int64_t summing_floats(int64_t size, int64_t batch_size, int replicas, int replica, int threads);

}  // namespace bitmill

#pragma once
// What a replica holds while a vector is summed over a batch in the tree of reduction_tree.hpp, as
// pipeline/sums/sliced_sum.hpp does it.

#include <cstdint>

namespace bitmill {

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

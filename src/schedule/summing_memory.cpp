#include "schedule/summing_memory.hpp"

#include <algorithm>
#include <vector>

#include "schedule/reduction_tree.hpp"

namespace bitmill {

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
  const int64_t largest = (size + replicas - 1) / replicas;
  // Of all replicas: the additions that are left join them into one sum.
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

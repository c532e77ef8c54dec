#include "cli/process/peak_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "comm/gather.hpp"

namespace bitmill {

int64_t peak_memory_bytes() {
  rusage usage = {};
  // Linux counts ru_maxrss in KiB.
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

int64_t largest_peak_memory(Communicator& comm) {
  const int64_t mine = peak_memory_bytes();
  int64_t largest = mine;
  for (const std::vector<int64_t>& other : gather_values<int64_t>(comm, {&mine, 1})) {
    largest = std::max(largest, other.front());
  }
  return largest;
}

}  // namespace bitmill

#include "cli/peak_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace bitmill {

int64_t peak_memory_bytes() {
  rusage usage = {};
  // Linux counts ru_maxrss in KiB.
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

int64_t largest_peak_memory(Communicator& comm) {
  const int64_t mine = peak_memory_bytes();
  int64_t largest = mine;
  for (const auto& bytes : gather_everywhere(comm, std::as_bytes(std::span(&mine, 1)))) {
    int64_t other = 0;
    std::memcpy(&other, bytes.data(), sizeof(other));
    largest = std::max(largest, other);
  }
  return largest;
}

}  // namespace bitmill

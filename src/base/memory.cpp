#include "base/memory.hpp"

#include <algorithm>
#include <fstream>
#include <string>

namespace bitmill {
namespace {

int64_t kernel_estimate() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  for (std::string rest; info >> key >> kibibytes; std::getline(info, rest)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

// Of the innermost group that has one, as containers and batch systems mount it. "max": none.
int64_t group_limit() {
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  int64_t bytes = 0;
  return limit >> bytes ? bytes : 0;
}

}  // namespace

int64_t available_memory_bytes() {
  const int64_t available = kernel_estimate(), limit = group_limit();
  return limit > 0 ? std::min(available, limit) : available;
}

}  // namespace bitmill

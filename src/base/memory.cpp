#include "base/memory.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace bitmill {
namespace {

constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();

int64_t kernel_estimate() {
  std::ifstream info("/proc/meminfo");
  std::string key;
  int64_t kibibytes = 0;
  for (std::string rest; info >> key >> kibibytes; std::getline(info, rest)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return 0;
}

// "max": none. Version 1 says so by a number beyond all memory.
int64_t read_limit(const std::string& file) {
  std::ifstream limit(file);
  int64_t bytes = 0;
  return limit >> bytes ? bytes : no_limit;
}

// The least of a group and of those around it, up to `root`; batch systems set it on a job's or a
// step's group, which processes lie below.
int64_t least_limit(const std::string& root, std::string group, const char* name) {
  int64_t least = no_limit;
  while (true) {
    least = std::min(least, read_limit(root + group + "/" + name));
    const size_t parent = group.rfind('/');
    if (group.empty() || parent == std::string::npos) return least;
    group.resize(parent);
  }
}

// Of this process's control groups, of either version; in a container the root is its own.
int64_t group_limit() {
  int64_t least = no_limit;
  std::ifstream groups("/proc/self/cgroup");  // "0::/path", "4:memory:/path"
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_limit("/sys/fs/cgroup", path, "memory.max"));
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      least = std::min(least, least_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace

int64_t available_memory_bytes() { return std::min(kernel_estimate(), group_limit()); }

}  // namespace bitmill

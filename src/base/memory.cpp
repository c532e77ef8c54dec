#include "base/memory.hpp"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <new>
#include <sstream>
#include <string>

namespace bitmill {
namespace {

constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();

// Of a file in /proc with lines such as "MemAvailable:  123 kB": that line's bytes, 0 without it.
int64_t kernel_figure(const char* file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    int64_t kibibytes = 0;
    return rest >> kibibytes ? kibibytes * 1024 : 0;
  }
  return 0;
}

// The files of a control group, by version.
struct GroupFiles {
  const char *limit, *usage;
  const char* reclaimable;  // key of memory.stat: file pages that the kernel drops under pressure
};
constexpr GroupFiles version_1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};
constexpr GroupFiles version_2 = {"memory.max", "memory.current", "inactive_file"};

int64_t read_bytes(const std::string& file, int64_t otherwise) {
  std::ifstream in(file);
  int64_t bytes = 0;
  return in >> bytes ? bytes : otherwise;
}

int64_t read_stat(const std::string& file, const std::string& wanted) {
  std::ifstream in(file);
  std::string key;
  for (int64_t bytes = 0; in >> key >> bytes;) {
    if (key == wanted) return bytes;
  }
  return 0;
}

// Bytes that a group's limit leaves. Without a limit, version 2 has "max" in its file; version 1
// has a number that is larger than any memory.
int64_t left_in(const std::string& group, const GroupFiles& names) {
  const int64_t limit = read_bytes(group + "/" + names.limit, no_limit);
  if (limit == no_limit) return no_limit;
  const int64_t used = read_bytes(group + "/" + names.usage, 0) -
                       read_stat(group + "/memory.stat", names.reclaimable);
  return std::max<int64_t>(0, limit - std::max<int64_t>(0, used));
}

// The minimum over a group and the groups that contain it, up to `root`. Batch systems set the
// limit on the group of a job or a step; the groups of its processes lie below that.
int64_t least_left(const std::string& root, std::string group, const GroupFiles& names) {
  int64_t least = no_limit;
  while (true) {
    least = std::min(least, left_in(root + group, names));
    const size_t parent = group.rfind('/');
    if (group.empty() || parent == std::string::npos) return least;
    group.resize(parent);
  }
}

// The minimum over this process's control groups, of both versions. In a container the root is the
// container's own group.
int64_t left_in_groups() {
  int64_t least = no_limit;
  std::ifstream groups("/proc/self/cgroup");  // "0::/path", "4:memory:/path"
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_left("/sys/fs/cgroup", path, version_2));
    } else if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      least = std::min(least, least_left("/sys/fs/cgroup/memory", path, version_1));
    }
  }
  return least;
}

constexpr size_t huge_page_bytes = size_t{2} << 20;  // of x86-64, and of ARM with pages of 4 KiB

std::byte* map_pages(size_t bytes) {
  void* const mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(mapped);
}

}  // namespace

int64_t available_memory_bytes() {
  return std::min(kernel_figure("/proc/meminfo", "MemAvailable:"), left_in_groups());
}

int64_t peak_memory_bytes() {
  const int64_t since_forgotten = kernel_figure("/proc/self/status", "VmHWM:");
  if (since_forgotten > 0) return since_forgotten;
  rusage usage = {};
  // Linux counts ru_maxrss in KiB.
  return ::getrusage(RUSAGE_SELF, &usage) == 0 ? int64_t{usage.ru_maxrss} * 1024 : 0;
}

bool forget_peak_memory() {
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;  // resets VmHWM to what is held now (proc(5))
  return clear.good();
}

void keep_freed_memory() {
  constexpr int mebibyte = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, 32 * mebibyte);
  mallopt(M_TRIM_THRESHOLD, 512 * mebibyte);
  mallopt(M_TOP_PAD, 64 * mebibyte);
}

Pages::Pages(size_t bytes, Size size) : bytes_(bytes) {
  if (bytes == 0) return;
  if (size == Size::normal) {
    data_ = map_pages(bytes);
    return;
  }
  if (bytes > std::numeric_limits<size_t>::max() - 2 * huge_page_bytes) throw std::bad_alloc();
  bytes_ = (bytes + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
  // The kernel chooses where a mapping begins: one page more, and both ends go back.
  std::byte* const mapped = map_pages(bytes_ + huge_page_bytes);
  const size_t before = -reinterpret_cast<uintptr_t>(mapped) % huge_page_bytes;
  if (before > 0) munmap(mapped, before);
  munmap(mapped + before + bytes_, huge_page_bytes - before);
  data_ = mapped + before;
  // Refused where the system has no huge pages: then these are normal ones.
  madvise(data_, bytes_, MADV_HUGEPAGE);
}

Pages::~Pages() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

}  // namespace bitmill

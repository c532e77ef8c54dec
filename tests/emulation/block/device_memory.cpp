#include "tests/emulation/block/device_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <system_error>

namespace bitmill::emulation {
namespace {

constexpr size_t page = 4096;
constexpr size_t place_bytes = size_t{16} << 30;  // addresses, not memory
constexpr size_t alignment = 256;

struct Place {
  char* begin;
  char* free;
  std::mutex mutex;
  std::map<const char*, DeviceRange> ranges;  // by first address

  Place()
      : begin(static_cast<char*>(mmap(nullptr, place_bytes, PROT_NONE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))),
        free(begin) {
    if (begin == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  }
};

// Never destroyed: a handler of a late fault may still look into it.
Place& place() {
  static Place& only = *new Place;
  return only;
}

}  // namespace

void* allocate_device_memory(size_t bytes, const std::string& name) {
  Place& all = place();
  const std::lock_guard lock(all.mutex);
  const size_t padded = (bytes + alignment - 1) / alignment * alignment;
  const size_t pages = std::max<size_t>(1, (padded + page - 1) / page) * page;
  if (pages + 2 * page > static_cast<size_t>(all.begin + place_bytes - all.free)) {
    throw std::bad_alloc();
  }
  char* const first = all.free + page;
  if (mprotect(first, pages, PROT_READ | PROT_WRITE) != 0) {
    throw std::system_error(errno, std::generic_category(), "mprotect");
  }
  std::memset(first, 0xFF, pages);
  all.free = first + pages;
  char* const begin = first + pages - padded;
  all.ranges[begin] = {name, begin, bytes, first, pages, false};
  return begin;
}

void free_device_memory(void* begin) {
  Place& all = place();
  const std::lock_guard lock(all.mutex);
  DeviceRange& range = all.ranges.at(static_cast<char*>(begin));
  range.freed = true;
  // New pages: the memory goes back to the system.
  mmap(range.pages, range.pages_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

bool in_device_memory(const void* address) {
  const Place& all = place();
  return address >= all.begin && address < all.begin + place_bytes;
}

const DeviceRange* nearest_device_range(const void* address) {
  const Place& all = place();
  auto after = all.ranges.upper_bound(static_cast<const char*>(address));
  if (after == all.ranges.begin()) return after == all.ranges.end() ? nullptr : &after->second;
  const DeviceRange& below = std::prev(after)->second;
  // In the guard page or the padding before an array: an underrun of that one.
  if (after != all.ranges.end() && address >= below.pages + below.pages_bytes + page / 2) {
    return &after->second;
  }
  return &below;
}

}  // namespace bitmill::emulation

#include "emulation/runtime/device_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "emulation/runtime/settings.hpp"

namespace bitmill::fake_cuda {
namespace {

constexpr size_t span = size_t{1} << 42;  // 4 TiB of addresses: none is used twice
constexpr size_t page = 4096;
constexpr size_t alignment = 256;
constexpr unsigned char fresh = 0xff;

char* reserve() {
  void* begin = mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) {
    std::perror("emulation: no addresses for device memory");
    std::abort();
  }
  return static_cast<char*>(begin);
}
// Reserved when the library is loaded, so that a signal handler finds them.
char* const public_begin = reserve();
char* const alias_begin = reserve();

size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

size_t offset_of(const void* address) {
  return static_cast<size_t>(static_cast<const char*>(address) - public_begin);
}

std::string in_words(const Allocation& a) {
  return "allocation " + std::to_string(a.number) + " (" + std::to_string(a.bytes) +
         " bytes on device " + std::to_string(a.device) + (a.freed ? ", freed)" : ")");
}

// How many bytes of [begin, end) are not as they were.
size_t damaged(size_t begin, size_t end) {
  const char* const bytes = alias_begin;
  return static_cast<size_t>(std::count_if(bytes + begin, bytes + end, [](char byte) {
    return static_cast<unsigned char>(byte) != fresh;
  }));
}

}  // namespace

bool is_device_address(const void* address) {
  return address >= public_begin && address < public_begin + span;
}

void* alias(const void* address) {
  if (!is_device_address(address)) return const_cast<void*>(address);
  return alias_begin + offset_of(address);
}

// In the first page, before all allocations.
const void* unreachable_address() { return public_begin + page / 2; }

DeviceMemory& DeviceMemory::of_process() {
  static auto* memory = new DeviceMemory;
  return *memory;
}

void* DeviceMemory::allocate(int device, size_t bytes, bool open_now) {
  const size_t size = std::max(round_up(bytes, alignment), alignment);
  const size_t pages = round_up(size, page);
  void* address = nullptr;
  {
    const std::lock_guard lock(mutex_);
    size_t& used = used_.at(static_cast<size_t>(device));
    if (bytes > settings().memory || used + pages > settings().memory) return nullptr;
    if (next_ + pages + page > span) {
      std::fprintf(stderr, "emulation: no fresh device addresses are left in this process\n");
      std::abort();
    }
    const size_t offset = next_ + pages - size;
    allocations_[offset] = {++numbers_, device, bytes, next_, pages, offset, false};
    used += pages;
    next_ += pages + page;
    address = public_begin + offset;
  }
  if (open_now) open(address);
  return address;
}

void DeviceMemory::open(const void* begin) {
  const std::lock_guard lock(mutex_);
  const Allocation& a = allocations_.at(offset_of(begin));
  if (mprotect(alias_begin + a.begin, a.pages, PROT_READ | PROT_WRITE) != 0) {
    std::perror("emulation: device memory");  // too many mappings: more than 30,000 allocations
    std::abort();
  }
  std::memset(alias_begin + a.begin, fresh, a.pages);
}

std::optional<Allocation> DeviceMemory::at(const void* begin) const {
  if (!is_device_address(begin)) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(offset_of(begin));
  if (found == allocations_.end() || found->second.freed) return std::nullopt;
  return found->second;
}

std::optional<Allocation> DeviceMemory::around(const void* address, size_t bytes) const {
  if (!is_device_address(address)) return std::nullopt;
  const size_t offset = offset_of(address);
  const std::lock_guard lock(mutex_);
  auto found = allocations_.upper_bound(offset);
  if (found == allocations_.begin()) return std::nullopt;
  const Allocation& a = (--found)->second;
  if (a.freed || offset > a.offset + a.bytes || bytes > a.offset + a.bytes - offset) {
    return std::nullopt;
  }
  return a;
}

bool DeviceMemory::mark_freed(const void* begin) {
  const std::lock_guard lock(mutex_);
  const auto found = allocations_.find(offset_of(begin));
  if (found == allocations_.end() || found->second.freed) return false;
  found->second.freed = true;
  return true;
}

std::string DeviceMemory::close(const void* begin) {
  const std::lock_guard lock(mutex_);
  const Allocation& a = allocations_.at(offset_of(begin));
  const size_t before = damaged(a.begin, a.offset);
  const size_t behind = damaged(a.offset + a.bytes, a.begin + a.pages);
  // A fresh mapping, so that the kernel can join it with its neighbours.
  mmap(alias_begin + a.begin, a.pages, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  used_.at(static_cast<size_t>(a.device)) -= a.pages;
  if (before + behind == 0) return "";
  return std::to_string(before + behind) + " bytes " + (before > 0 ? "before " : "behind ") +
         in_words(a) + " were overwritten";
}

size_t DeviceMemory::used(int device) const {
  const std::lock_guard lock(mutex_);
  return used_.at(static_cast<size_t>(device));
}

std::vector<Allocation> DeviceMemory::live() const {
  const std::lock_guard lock(mutex_);
  std::vector<Allocation> all;
  for (const auto& [offset, allocation] : allocations_) {
    if (!allocation.freed) all.push_back(allocation);
  }
  return all;
}

std::string DeviceMemory::explain(const void* address) const {
  const char* const byte = static_cast<const char*>(address);
  const bool is_alias = byte >= alias_begin && byte < alias_begin + span;
  if (!is_alias && !is_device_address(address)) return "";
  const size_t offset = static_cast<size_t>(byte - (is_alias ? alias_begin : public_begin));
  const std::lock_guard lock(mutex_);
  auto found = allocations_.upper_bound(offset);
  if (offset < page) {
    return "stands for a host address: kernels reach device memory and pinned memory alone";
  }
  if (found == allocations_.begin()) return "is before all device memory";
  const Allocation& a = (--found)->second;
  const char* const why = is_alias ? "" : ", which this device cannot reach: it belongs to another";
  if (offset < a.offset + a.bytes) {
    return "is byte " + std::to_string(offset - a.offset) + " of " + in_words(a) + why;
  }
  return "is " + std::to_string(offset - a.offset - a.bytes) + " bytes behind the end of " +
         in_words(a) + why;
}

}  // namespace bitmill::fake_cuda

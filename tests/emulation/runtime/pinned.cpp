#include "emulation/runtime/pinned.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace bitmill::fake_cuda {
namespace {

constexpr size_t page = 4096;

}  // namespace

PinnedMemory& PinnedMemory::of_process() {
  static auto* memory = new PinnedMemory;
  return *memory;
}

void* PinnedMemory::allocate(size_t bytes) {
  const size_t size = (bytes + 63) / 64 * 64;  // the guard page is at most 63 bytes away
  const size_t mapped = (size + page - 1) / page * page;
  void* begin =
      mmap(nullptr, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  mprotect(static_cast<char*>(begin) + mapped, page, PROT_NONE);
  char* const first = static_cast<char*>(begin) + (mapped - size);
  std::memset(first, 0xff, size);
  const std::lock_guard lock(mutex_);
  ranges_[first] = {bytes, mapped, false};
  return first;
}

bool PinnedMemory::free(void* begin) {
  const std::lock_guard lock(mutex_);
  const auto found = ranges_.find(static_cast<char*>(begin));
  if (found == ranges_.end() || found->second.freed || found->second.mapped == 0) return false;
  found->second.freed = true;
  char* const mapping = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(begin) / page * page);
  mmap(mapping, found->second.mapped, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return true;
}

bool PinnedMemory::add(void* begin, size_t bytes) {
  const char* const first = static_cast<char*>(begin);
  const std::lock_guard lock(mutex_);
  for (const auto& [other, range] : ranges_) {
    if (!range.freed && first < other + range.bytes && other < first + bytes) return false;
  }
  ranges_[first] = {bytes, 0, false};
  return true;
}

bool PinnedMemory::remove(void* begin) {
  const std::lock_guard lock(mutex_);
  const auto found = ranges_.find(static_cast<char*>(begin));
  if (found == ranges_.end() || found->second.mapped != 0) return false;
  ranges_.erase(found);
  return true;
}

bool PinnedMemory::contains(const void* address) const {
  const char* const byte = static_cast<const char*>(address);
  const std::lock_guard lock(mutex_);
  auto found = ranges_.upper_bound(byte);
  if (found == ranges_.begin()) return false;
  --found;
  return !found->second.freed && byte < found->first + found->second.bytes;
}

std::vector<size_t> PinnedMemory::live() const {
  const std::lock_guard lock(mutex_);
  std::vector<size_t> all;
  for (const auto& [begin, range] : ranges_) {
    if (!range.freed) all.push_back(range.bytes);
  }
  return all;
}

std::string PinnedMemory::explain(const void* address) const {
  const char* const byte = static_cast<const char*>(address);
  const std::lock_guard lock(mutex_);
  auto found = ranges_.upper_bound(byte);
  if (found == ranges_.begin()) return "";
  --found;
  const auto& [begin, range] = *found;
  if (byte >= begin + range.bytes + page) return "";
  return "is byte " + std::to_string(byte - begin) + " of pinned host memory of " +
         std::to_string(range.bytes) + " bytes" + (range.freed ? ", freed" : "");
}

}  // namespace bitmill::fake_cuda

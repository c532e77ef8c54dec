#include "tests/emulation/block/shared_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "tests/emulation/block/device_code.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

constexpr size_t page = 4096;
// CUDA C++ Programming Guide, technical specifications for compute capability 9.0.
constexpr size_t most_static = 48 * 1024;
constexpr size_t most_in_all = 227 * 1024;

char* map_region(void* at, size_t bytes, int flags) {
  void* const region =
      mmap(at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
  if (region == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return static_cast<char*>(region);
}

void open_pages(char* begin, size_t bytes) {
  if (mprotect(begin, bytes, PROT_READ | PROT_WRITE) != 0) {
    throw std::system_error(errno, std::generic_category(), "mprotect");
  }
}

}  // namespace

SharedMemory::SharedMemory() : region_(map_region(nullptr, region_bytes, 0)), free_(region_) {}

SharedMemory::~SharedMemory() { munmap(region_, region_bytes); }

void SharedMemory::begin_block() {
  ++block_;
  static_bytes_ = dynamic_bytes_ = 0;
  // Under ThreadSanitizer new pages, so that no block is held against the one before.
  const bool nearly_full = free_ > region_ + region_bytes / 2;
  if (arrays_.empty() || (!nearly_full && !tsan::on)) return;
  map_region(region_, region_bytes, MAP_FIXED);
  arrays_.clear();
  free_ = region_;
}

// The array ends where its guard page begins, as far as 16-byte alignment allows.
SharedMemory::Array& SharedMemory::place(const SharedDeclaration& declaration, size_t bytes) {
  const size_t padded = (bytes + 15) / 16 * 16;
  const size_t pages = std::max<size_t>(1, (padded + page - 1) / page) * page;
  char* const begin = free_ + page;
  open_pages(begin, pages);
  Array made{&declaration, begin + pages - padded, bytes, free_, pages + 2 * page, 0};
  free_ += pages + page;  // the next array's first guard page is this one's last
  arrays_.push_back(made);
  return arrays_.back();
}

void* SharedMemory::array(const SharedDeclaration& declaration, size_t dynamic_bytes,
                          std::string& problem) {
  const size_t bytes = declaration.dynamic ? dynamic_bytes : declaration.bytes;
  auto found = std::find_if(arrays_.begin(), arrays_.end(), [&](const Array& one) {
    return one.declaration == &declaration && one.bytes == bytes;
  });
  if (found != arrays_.end() && found->block == block_) return found->begin;

  (declaration.dynamic ? dynamic_bytes_ : static_bytes_) += bytes;
  if (static_bytes_ > most_static || static_bytes_ + dynamic_bytes_ > most_in_all) {
    problem = "shared array '" + std::string(declaration.name) + "' brings the block to " +
              std::to_string(static_bytes_) + " bytes of static and " +
              std::to_string(dynamic_bytes_) + " of dynamic shared memory; there are " +
              std::to_string(most_static) + ", and " + std::to_string(most_in_all) + " in all";
    return nullptr;
  }
  Array& array = found != arrays_.end() ? *found : place(declaration, bytes);
  array.block = block_;
  char* const first = array.region + page;
  std::memset(first, 0xFF, array.begin + (bytes + 15) / 16 * 16 - first);
  return array.begin;
}

const SharedMemory::Array* SharedMemory::find(const void* address) const {
  // A guard page between two arrays: an overrun of the first, more likely than an underrun.
  const Array* best = nullptr;
  for (const Array& one : arrays_) {
    if (one.block != block_) continue;
    if (address >= one.region + page && address < one.region + one.region_bytes) return &one;
    if (address >= one.region && address < one.region + page) best = &one;
  }
  return best;
}

}  // namespace bitmill::emulation

#pragma once
// The shared memory of the block that runs now: one region for each array, between pages that
// cannot be touched.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bitmill::emulation {

struct SharedDeclaration;

class SharedMemory {
 public:
  struct Array {
    const SharedDeclaration* declaration;
    char* begin;  // 16-byte aligned
    size_t bytes;
    char* region;  // a guard page, the pages of the array, a guard page
    size_t region_bytes;
    uint64_t block;  // the last one that declared it

    bool holds(const void* address, size_t count) const {
      const auto* at = static_cast<const char*>(address);
      return at >= begin && at + count <= begin + bytes;
    }
  };

  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Arrays of the block before are gone; their memory will be all ones again.
  void begin_block();
  // The same address for all threads of a block. Null, and words in `problem`, where CUDA has not
  // so much.
  void* array(const SharedDeclaration& declaration, size_t dynamic_bytes, std::string& problem);

  // Whether the address is in the region, inside an array or not.
  bool owns(const void* address) const {
    return address >= region_ && address < region_ + region_bytes;
  }
  // The array of this block whose region has `address`; null when there is none.
  const Array* find(const void* address) const;

 private:
  static constexpr size_t region_bytes = size_t{16} << 20;

  Array& place(const SharedDeclaration& declaration, size_t bytes);

  char* region_;
  char* free_;  // the rest of the region
  std::vector<Array> arrays_;
  uint64_t block_ = 0;
  size_t static_bytes_ = 0, dynamic_bytes_ = 0;  // of this block
};

}  // namespace bitmill::emulation

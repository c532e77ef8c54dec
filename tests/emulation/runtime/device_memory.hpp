#pragma once
// Memory of the devices. Every byte has two addresses, a constant distance apart: the public one,
// which programs get and nobody can touch, and the alias, which only device work uses.
//
// An allocation ends at a page that cannot be accessed (to 256 bytes, CUDA's alignment; what lies
// between its last byte and there, and before its first, holds a pattern that is looked at when it
// is freed). Fresh memory is 0xff: NaN as a float, -1 as a number. Addresses are never given out
// twice, so memory that was freed stays inaccessible.

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace bitmill::fake_cuda {

// Without a lock: also for a signal handler.
bool is_device_address(const void* address);
// Where device work finds what lies at a public address; other addresses are returned as they are.
void* alias(const void* address);

// An address that nobody can touch, for kernels that were given one of the host's.
const void* unreachable_address();

struct Allocation {
  uint64_t number;  // of all of the process, from 1
  int device;
  size_t bytes;   // as asked for
  size_t begin;   // offset of its first page
  size_t pages;   // bytes of its pages
  size_t offset;  // of its first byte
  bool freed;
};

class DeviceMemory {
 public:
  static DeviceMemory& of_process();

  // The public address; null when the device's limit is reached. `open`: accessible at once; else
  // only after open(), so that memory allocated in a stream's order is not there earlier.
  void* allocate(int device, size_t bytes, bool open);
  void open(const void* begin);

  // The live allocation that begins there, and that in which all of [address, address + bytes)
  // lies.
  std::optional<Allocation> at(const void* begin) const;
  std::optional<Allocation> around(const void* address, size_t bytes) const;

  // Marks as freed: no call may name it any more. Its bytes go with close(), which returns what is
  // wrong with the pattern around them, or nothing.
  bool mark_freed(const void* begin);
  std::string close(const void* begin);

  size_t used(int device) const;
  // Of all allocations that are not freed.
  std::vector<Allocation> live() const;
  // "is 4 bytes behind allocation 3 ..."; empty when the address has nothing to do with a device.
  std::string explain(const void* address) const;

 private:
  DeviceMemory() = default;
  mutable std::mutex mutex_;
  size_t next_ = 4096;
  uint64_t numbers_ = 0;
  std::map<size_t, Allocation> allocations_;  // by offset, freed ones too
  std::array<size_t, 16> used_{};
};

}  // namespace bitmill::fake_cuda

#pragma once
// Device memory for the tests of kernels, where no CUDA runtime is under the emulator: arrays that
// begin at a multiple of 256 bytes as cudaMalloc's do, hold NaN at first, and end within 255 bytes
// of a page that cannot be touched. An array that is gone cannot be touched either, and no other
// one ever gets its addresses.
//
// Arrays are made and freed while no kernel runs.

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

namespace bitmill::emulation {

struct DeviceRange {
  std::string name;
  char* begin = nullptr;
  size_t bytes = 0;
  char* pages = nullptr;  // after a guard page
  size_t pages_bytes = 0;
  bool freed = false;

  bool holds(const void* address, size_t count) const {
    const auto* at = static_cast<const char*>(address);
    return !freed && at >= begin && at + count <= begin + bytes;
  }
};

// `name` is for messages and counts. std::bad_alloc when the place for arrays is used up.
void* allocate_device_memory(size_t bytes, const std::string& name);
void free_device_memory(void* begin);

// Whether device memory can lie at `address`.
bool in_device_memory(const void* address);
// The array with `address`, or the nearest below it; null when there is none. Valid until the next
// allocation.
const DeviceRange* nearest_device_range(const void* address);

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values, const std::string& name = "array")
      : size_(values.size()), data_(allocate_device_memory(size_ * sizeof(T), name)) {
    if (size_ > 0) std::memcpy(data_, values.data(), size_ * sizeof(T));
  }
  // Not written yet: all ones, NaN.
  DeviceArray(size_t size, const std::string& name)
      : size_(size), data_(allocate_device_memory(size * sizeof(T), name)) {}
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { free_device_memory(data_); }

  T* data() const { return static_cast<T*>(data_); }
  std::vector<T> to_host() const { return {data(), data() + size_}; }

 private:
  size_t size_;
  void* data_;
};

}  // namespace bitmill::emulation

#pragma once
// GPU memory for tests, and whether there is a GPU at all.

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace bitmill {

inline void cuda_check(cudaError_t error, const char* call) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorString(error));
  }
}

// Why a test must be skipped; empty when a GPU can be used. Throws on any error other than "no GPU
// here": that is a failure, no reason to skip.
inline std::string why_no_gpu() {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice) {
    return std::string("no GPU here: ") + cudaGetErrorString(error);
  }
  cuda_check(error, "cudaGetDeviceCount");
  return devices == 0 ? "no GPU here" : "";
}

// A copy of `values` on the current device.
template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values) : size_(values.size()) {
    if (size_ == 0) return;
    cuda_check(cudaMalloc(&data_, bytes()), "cudaMalloc");
    cuda_check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* data() const { return static_cast<T*>(data_); }
  // Waits for everything queued on the device.
  std::vector<T> to_host() const {
    std::vector<T> values(size_);
    cuda_check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    if (size_ > 0) {
      cuda_check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    }
    return values;
  }

 private:
  size_t bytes() const { return size_ * sizeof(T); }

  size_t size_;
  void* data_ = nullptr;
};

}  // namespace bitmill

#pragma once
// Streams, events and memory that the cases use, given back at the end; and a gate that holds a
// stream until it is opened.

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace conformance {

inline void must(cudaError_t error, const char* call) {
  if (error != cudaSuccess) {
    throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(error));
  }
}
#define MUST(call) ::conformance::must(call, #call)

class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    MUST(cudaStreamCreateWithFlags(&stream_, flags));
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  operator cudaStream_t() const { return stream_; }
  // The handle, no longer owned.
  cudaStream_t release() { return std::exchange(stream_, nullptr); }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(unsigned flags = 0) { MUST(cudaEventCreateWithFlags(&event_, flags)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  operator cudaEvent_t() const { return event_; }
  cudaEvent_t release() { return std::exchange(event_, nullptr); }

 private:
  cudaEvent_t event_ = nullptr;
};

// `count` elements; not initialised.
template <typename T>
class DeviceMemory {
 public:
  explicit DeviceMemory(size_t count) : count_(count) {
    MUST(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(T)));
  }
  // All the same value, there when the constructor returns.
  DeviceMemory(size_t count, T value) : DeviceMemory(count) {
    const std::vector<T> all(count, value);
    MUST(cudaMemcpy(data_, all.data(), bytes(), cudaMemcpyHostToDevice));
    MUST(cudaStreamSynchronize(nullptr));
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }
  T* get() const { return data_; }
  size_t bytes() const { return count_ * sizeof(T); }
  // Of what is there now on the default stream.
  std::vector<T> values() const {
    std::vector<T> all(count_);
    MUST(cudaMemcpy(all.data(), data_, bytes(), cudaMemcpyDeviceToHost));
    return all;
  }

 private:
  size_t count_;
  T* data_ = nullptr;
};

template <typename T>
class PinnedMemory {
 public:
  PinnedMemory(size_t count, T value) {
    MUST(cudaHostAlloc(reinterpret_cast<void**>(&data_), count * sizeof(T), cudaHostAllocDefault));
    for (size_t i = 0; i < count; ++i) data_[i] = value;
  }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  ~PinnedMemory() { cudaFreeHost(data_); }
  T* get() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
};

// Everything behind hold() on that stream waits for open(). One gate at a time: CUDA may run the
// host functions of all streams on one thread. So what other streams do must not be host functions.
class Gate {
 public:
  explicit Gate(cudaStream_t stream) {
    MUST(cudaLaunchHostFunc(
        stream,
        [](void* gate) {
          while (!static_cast<std::atomic<bool>*>(gate)->load()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        },
        &open_));
  }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  // Waits for the device: the stream may not use the gate any more.
  ~Gate() {
    open();
    cudaDeviceSynchronize();
  }
  void open() { open_ = true; }

 private:
  std::atomic<bool> open_{false};
};

// A flag in pinned memory that a stream raises when it comes there.
class Flag {
 public:
  void raise_on(cudaStream_t stream) {
    MUST(cudaMemcpyAsync(flag_.get(), one_.get(), sizeof(int), cudaMemcpyDeviceToHost, stream));
  }
  bool raised() const { return *static_cast<volatile int*>(flag_.get()) == 1; }
  // Looks again for a moment: for what must not happen, and for what must.
  bool stays_down() const {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return !raised();
  }
  bool comes_up() const {
    for (int i = 0; i < 5000 && !raised(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return raised();
  }

 private:
  PinnedMemory<int> flag_{1, 0};
  DeviceMemory<int> one_{1, 1};
};

}  // namespace conformance

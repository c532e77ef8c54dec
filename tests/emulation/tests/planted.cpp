// One planted mistake a case, each beside the right program: planted CASE [right]
//
// Exit status 0: the program got the right result. 3: a wrong one. 4: CUDA reported an error.
// Anything else, a signal above all, is how the mistake was caught.

#include <cuda_runtime_api.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "emulation/conformance/kernels.hpp"

namespace {

constexpr size_t count = 1024;
constexpr size_t bytes = count * sizeof(float);
constexpr int wrong_result = 3, reported = 4;

#define TRY(call)                                               \
  if (const cudaError_t error = (call); error != cudaSuccess) { \
    std::printf("%s: %s\n", #call, cudaGetErrorName(error));    \
    return reported;                                            \
  }

struct Buffers {
  float *pinned = nullptr, *device = nullptr, *other = nullptr;
  cudaStream_t first = nullptr, second = nullptr;
  cudaError_t make() {
    void** const all[] = {reinterpret_cast<void**>(&device), reinterpret_cast<void**>(&other)};
    for (void** one : all) {
      if (const cudaError_t error = cudaMalloc(one, bytes); error != cudaSuccess) return error;
      if (const cudaError_t error = cudaMemset(*one, 0, bytes); error != cudaSuccess) return error;
    }
    cudaDeviceSynchronize();
    cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
    return cudaHostAlloc(reinterpret_cast<void**>(&pinned), bytes, cudaHostAllocDefault);
  }
};

int judge(const float* values, float wanted) {
  for (size_t i = 0; i < count; ++i) {
    if (values[i] == wanted) continue;
    std::printf("value %zu is %g and not %g\n", i, static_cast<double>(values[i]),
                static_cast<double>(wanted));
    return wrong_result;
  }
  return 0;
}

// A copy on one stream, its use on another.
int forgotten_event(bool right) {
  Buffers all;
  TRY(all.make());
  for (size_t i = 0; i < count; ++i) all.pinned[i] = 3.0F;
  cudaEvent_t event = nullptr;
  TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  TRY(cudaMemcpyAsync(all.device, all.pinned, bytes, cudaMemcpyHostToDevice, all.first));
  TRY(cudaEventRecord(event, all.first));
  if (right) TRY(cudaStreamWaitEvent(all.second, event, 0));
  TRY(cudaMemcpyAsync(all.other, all.device, bytes, cudaMemcpyDeviceToDevice, all.second));
  std::vector<float> back(count);
  TRY(cudaMemcpyAsync(back.data(), all.other, bytes, cudaMemcpyDeviceToHost, all.second));
  TRY(cudaDeviceSynchronize());
  return judge(back.data(), 3.0F);
}

// A pinned buffer is filled again while a copy still reads it.
int pinned_buffer_reused(bool right) {
  Buffers all;
  TRY(all.make());
  for (size_t i = 0; i < count; ++i) all.pinned[i] = 1.0F;
  TRY(cudaMemcpyAsync(all.device, all.pinned, bytes, cudaMemcpyHostToDevice, all.first));
  if (right) TRY(cudaStreamSynchronize(all.first));
  for (size_t i = 0; i < count; ++i) all.pinned[i] = 2.0F;
  std::vector<float> back(count);
  TRY(cudaMemcpyAsync(back.data(), all.device, bytes, cudaMemcpyDeviceToHost, all.first));
  return judge(back.data(), 1.0F);
}

int host_touch(bool right) {
  Buffers all;
  TRY(all.make());
  float first = -1;
  if (right) {
    TRY(cudaMemcpy(&first, all.device, sizeof(first), cudaMemcpyDeviceToHost));
  } else {
    first = *static_cast<volatile float*>(all.device);
  }
  return first == 0 ? 0 : wrong_result;
}

int device_overrun(bool right) {
  Buffers all;
  TRY(all.make());
  int* const numbers = reinterpret_cast<int*>(all.device);
  TRY(conformance::write_value(numbers + count - (right ? 1 : 0), 7, all.first));
  TRY(cudaStreamSynchronize(all.first));
  return 0;
}

// Too short to reach the end of its 256 bytes.
int small_overrun(bool right) {
  int* numbers = nullptr;
  TRY(cudaMalloc(reinterpret_cast<void**>(&numbers), 10 * sizeof(int)));
  TRY(conformance::write_value(numbers + 10 - (right ? 1 : 0), 7, nullptr));
  TRY(cudaFree(numbers));
  return 0;
}

int use_after_free(bool right) {
  Buffers all;
  TRY(all.make());
  if (!right) TRY(cudaFree(all.device));
  TRY(conformance::write_value(reinterpret_cast<int*>(all.device), 7, all.first));
  TRY(cudaStreamSynchronize(all.first));
  return 0;
}

// The host writes to pinned memory that it has freed.
int pinned_use_after_free(bool right) {
  Buffers all;
  TRY(all.make());
  volatile float* const pinned = all.pinned;
  if (!right) TRY(cudaFreeHost(all.pinned));
  pinned[0] = 1.0F;
  return 0;
}

int copy_of_freed_memory(bool right) {
  Buffers all;
  TRY(all.make());
  if (!right) TRY(cudaFree(all.device));
  TRY(cudaMemcpyAsync(all.pinned, all.device, bytes, cudaMemcpyDeviceToHost, all.first));
  TRY(cudaStreamSynchronize(all.first));
  return 0;
}

int unwritten_memory(bool right) {
  float* device = nullptr;
  TRY(cudaMalloc(reinterpret_cast<void**>(&device), bytes));
  if (right) TRY(cudaMemset(device, 0, bytes));
  std::vector<float> back(count);
  TRY(cudaMemcpy(back.data(), device, bytes, cudaMemcpyDeviceToHost));
  return judge(back.data(), 0.0F);
}

// A launch that fails, on the way to the free.
int launch_that_fails() {
  int* counts = nullptr;
  TRY(cudaMalloc(reinterpret_cast<void**>(&counts), bytes));
  TRY(conformance::count_blocks(counts, 1, 2048, nullptr));
  return cudaFree(counts) == cudaSuccess ? 0 : wrong_result;
}
int launch_that_fails_and_frees() {
  int* counts = nullptr;
  TRY(cudaMalloc(reinterpret_cast<void**>(&counts), bytes));
  (void)conformance::count_blocks(counts, 1, 2048, nullptr);
  return cudaFree(counts) == cudaSuccess ? 0 : wrong_result;
}
int leak_after_a_failed_launch(bool right) {
  return right ? launch_that_fails_and_frees() : launch_that_fails();
}

// Memory of one stream's order on another stream that does not wait.
int pool_memory_too_early(bool right) {
  Buffers all;
  TRY(all.make());
  cudaEvent_t event = nullptr;
  TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  int* memory = nullptr;
  TRY(cudaMallocAsync(reinterpret_cast<void**>(&memory), bytes, all.first));
  TRY(cudaEventRecord(event, all.first));
  if (right) TRY(cudaStreamWaitEvent(all.second, event, 0));
  TRY(conformance::write_value(memory, 7, all.second));
  TRY(cudaStreamSynchronize(all.second));
  return 0;
}

// A kernel of one device on memory of another.
int memory_of_another_device(bool right) {
  int* memory = nullptr;
  if (!right) TRY(cudaSetDevice(1));
  TRY(cudaMalloc(reinterpret_cast<void**>(&memory), bytes));
  TRY(cudaSetDevice(0));
  TRY(conformance::write_value(memory, 7, nullptr));
  TRY(cudaDeviceSynchronize());
  return 0;
}

// A kernel gets an address of the host's stack.
int host_address_in_a_kernel(bool right) {
  int on_stack = 0;
  int* pinned = nullptr;
  TRY(cudaHostAlloc(reinterpret_cast<void**>(&pinned), sizeof(int), cudaHostAllocDefault));
  TRY(conformance::write_value(right ? pinned : &on_stack, 7, nullptr));
  TRY(cudaDeviceSynchronize());
  return *pinned == 7 ? 0 : wrong_result;
}

// CUDA does not survive fork(): a child has to begin it itself.
int used_after_fork(bool right) {
  if (!right) TRY(cudaFree(nullptr));
  const pid_t child = fork();
  if (child == 0) {
    void* memory = nullptr;
    _exit(cudaMalloc(&memory, bytes) == cudaSuccess ? 0 : reported);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

// A stream that was destroyed is used again.
int stream_after_destroy(bool right) {
  Buffers all;
  TRY(all.make());
  if (!right) TRY(cudaStreamDestroy(all.first));
  TRY(cudaMemsetAsync(all.device, 0, bytes, all.first));
  TRY(cudaDeviceSynchronize());
  return 0;
}

const std::map<std::string, int (*)(bool)>& cases() {
  static const std::map<std::string, int (*)(bool)> all = {
      {"forgotten_event", forgotten_event},
      {"pinned_buffer_reused", pinned_buffer_reused},
      {"host_touch", host_touch},
      {"device_overrun", device_overrun},
      {"small_overrun", small_overrun},
      {"use_after_free", use_after_free},
      {"pinned_use_after_free", pinned_use_after_free},
      {"copy_of_freed_memory", copy_of_freed_memory},
      {"unwritten_memory", unwritten_memory},
      {"leak_after_a_failed_launch", leak_after_a_failed_launch},
      {"pool_memory_too_early", pool_memory_too_early},
      {"memory_of_another_device", memory_of_another_device},
      {"host_address_in_a_kernel", host_address_in_a_kernel},
      {"used_after_fork", used_after_fork},
      {"stream_after_destroy", stream_after_destroy},
  };
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const auto found = argc >= 2 ? cases().find(argv[1]) : cases().end();
  if (found == cases().end()) return 2;
  return found->second(argc == 3 && std::strcmp(argv[2], "right") == 0);
}

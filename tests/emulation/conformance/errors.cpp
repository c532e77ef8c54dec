// Which call returns which error, and how long an error stays.

#include <string>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {

CONFORMS(errors, "An error of a call is the last one once") {
  void* memory = nullptr;
  EXPECT_SAME(cudaMalloc(&memory, size_t{1} << 50), cudaErrorMemoryAllocation);
  EXPECT_SAME(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
  EXPECT_SAME(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_SAME(cudaGetLastError(), cudaSuccess);
}

CONFORMS(errors, "A success does not take an earlier error away") {
  void* memory = nullptr;
  int device = 0;
  EXPECT_SAME(cudaMalloc(&memory, size_t{1} << 50), cudaErrorMemoryAllocation);
  EXPECT_SAME(cudaGetDevice(&device), cudaSuccess);
  EXPECT_SAME(cudaGetLastError(), cudaErrorMemoryAllocation);
}

CONFORMS(errors, "Memory that is used up comes back with what is freed") {
  size_t free_before = 0, free_between = 0, free_after = 0, total = 0;
  MUST(cudaMemGetInfo(&free_before, &total));
  EXPECT(free_before <= total);
  {
    const DeviceMemory<char> memory(size_t{64} << 20);
    MUST(cudaMemGetInfo(&free_between, &total));
  }
  MUST(cudaMemGetInfo(&free_after, &total));
  EXPECT(free_between + (size_t{64} << 20) <= free_before);
  EXPECT(free_after > free_between);
}

CONFORMS(errors, "Freeing nothing is nothing, freeing the middle of memory is an error") {
  EXPECT_SAME(cudaFree(nullptr), cudaSuccess);
  EXPECT_SAME(cudaFreeHost(nullptr), cudaSuccess);
  const DeviceMemory<char> memory(1024);
  EXPECT_SAME(cudaFree(memory.get() + 256), cudaErrorInvalidValue);
  EXPECT_SAME(cudaGetLastError(), cudaErrorInvalidValue);
}

CONFORMS(errors, "A copy of nothing is right, with any addresses") {
  EXPECT_SAME(cudaMemcpy(nullptr, nullptr, 0, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_SAME(cudaMemsetAsync(nullptr, 0, 0, nullptr), cudaSuccess);
}

CONFORMS(errors, "Memory of no bytes is null, and no error") {
  void* memory = &memory;
  EXPECT_SAME(cudaMalloc(&memory, 0), cudaSuccess);
  EXPECT(memory == nullptr);
}

CONFORMS(errors, "There is no device behind the last one") {
  int count = 0;
  MUST(cudaGetDeviceCount(&count));
  EXPECT_SAME(cudaSetDevice(count), cudaErrorInvalidDevice);
  EXPECT_SAME(cudaSetDevice(-1), cudaErrorInvalidDevice);
  EXPECT_SAME(cudaGetLastError(), cudaErrorInvalidDevice);
  int device = -1;
  MUST(cudaGetDevice(&device));
  EXPECT_SAME(device, 0);
}

CONFORMS(errors, "An event of one device is not recorded on a stream of another") {
  int count = 0;
  MUST(cudaGetDeviceCount(&count));
  if (count < 2) throw Skipped{"one device"};
  const Event event;
  MUST(cudaSetDevice(1));
  {
    const Stream stream;
    EXPECT_SAME(cudaEventRecord(event, stream), cudaErrorInvalidResourceHandle);
    EXPECT_SAME(cudaStreamWaitEvent(stream, event, 0), cudaSuccess);
  }
  MUST(cudaSetDevice(0));
}

CONFORMS(errors, "Errors have their names and words") {
  const struct {
    cudaError_t error;
    const char* name;
    const char* words;
  } all[] = {
      {cudaSuccess, "cudaSuccess", "no error"},
      {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
      {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
      {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
      {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
      {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
       "an illegal memory access was encountered"},
      {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
      {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
       "invalid configuration argument"},
      {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
      {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
  };
  for (const auto& one : all) {
    EXPECT_SAME(std::string(cudaGetErrorName(one.error)), one.name);
    EXPECT_SAME(std::string(cudaGetErrorString(one.error)), one.words);
  }
}

}  // namespace conformance

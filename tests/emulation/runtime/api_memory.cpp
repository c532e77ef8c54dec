// Memory and copies, as cuda_runtime_api.h declares them.

#include <cuda_runtime_api.h>

#include "emulation/runtime/copies.hpp"
#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/settings.hpp"
#include "emulation/runtime/stream_table.hpp"

using namespace bitmill::fake_cuda;

cudaError_t cudaMalloc(void** out, size_t bytes) {
  EMULATION_ENTER();
  if (out == nullptr) return give(cudaErrorInvalidValue);
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess) return give(error);
  *out = nullptr;
  if (bytes == 0) return cudaSuccess;
  void* const address = DeviceMemory::of_process().allocate(current_device(), bytes, true);
  if (address == nullptr) return give(cudaErrorMemoryAllocation);
  *out = address;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  EMULATION_ENTER();
  if (address == nullptr) return cudaSuccess;
  DeviceMemory& memory = DeviceMemory::of_process();
  const auto allocation = memory.at(address);
  if (!allocation) return give(cudaErrorInvalidValue);
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess) return give(error);
  wait_for_device(allocation->device);  // as the real one does
  if (!memory.mark_freed(address)) return give(cudaErrorInvalidValue);
  const std::string damage = memory.close(address);
  if (!damage.empty()) break_device(allocation->device, cudaErrorIllegalAddress, damage);
  return give(sticky_error(allocation->device));
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  EMULATION_ENTER();
  *total = settings().memory;
  *free = *total - DeviceMemory::of_process().used(current_device());
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned flags) {
  EMULATION_ENTER();
  constexpr unsigned known = cudaHostAllocPortable | cudaHostAllocMapped;
  if ((flags & ~known) != 0) return not_emulated("cudaHostAlloc with these flags");
  if (out == nullptr) return give(cudaErrorInvalidValue);
  *out = bytes == 0 ? nullptr : PinnedMemory::of_process().allocate(bytes);
  return bytes > 0 && *out == nullptr ? give(cudaErrorMemoryAllocation) : cudaSuccess;
}

cudaError_t cudaMallocHost(void** out, size_t bytes) { return cudaHostAlloc(out, bytes, 0); }

cudaError_t cudaFreeHost(void* address) {
  EMULATION_ENTER();
  if (address == nullptr) return cudaSuccess;
  for (int device = 0; device < device_count(); ++device) wait_for_device(device);
  return PinnedMemory::of_process().free(address) ? cudaSuccess : give(cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void* address, size_t bytes, unsigned flags) {
  EMULATION_ENTER();
  constexpr unsigned known = cudaHostRegisterPortable | cudaHostRegisterMapped;
  if ((flags & ~known) != 0) return not_emulated("cudaHostRegister with these flags");
  if (address == nullptr || bytes == 0 || is_device_address(address)) {
    return give(cudaErrorInvalidValue);
  }
  return PinnedMemory::of_process().add(address, bytes)
             ? cudaSuccess
             : give(cudaErrorHostMemoryAlreadyRegistered);
}

cudaError_t cudaHostUnregister(void* address) {
  EMULATION_ENTER();
  return PinnedMemory::of_process().remove(address) ? cudaSuccess
                                                    : give(cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaHostGetDevicePointer(void** out, void* address, unsigned /*flags*/) {
  EMULATION_ENTER();
  if (!PinnedMemory::of_process().contains(address)) return give(cudaErrorInvalidValue);
  *out = address;
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* all, const void* address) {
  EMULATION_ENTER();
  *all = {};
  all->device = -1;
  if (const auto allocation = DeviceMemory::of_process().around(address, 1)) {
    all->type = cudaMemoryTypeDevice;
    all->device = allocation->device;
    all->devicePointer = const_cast<void*>(address);
  } else if (PinnedMemory::of_process().contains(address)) {
    all->type = cudaMemoryTypeHost;
    all->device = current_device();
    all->devicePointer = all->hostPointer = const_cast<void*>(address);
  } else {
    all->type = cudaMemoryTypeUnregistered;
    all->hostPointer = const_cast<void*>(address);
  }
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  EMULATION_ENTER();
  return give(copy(to, from, {bytes}, kind, nullptr, CopyCall::synchronous));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  EMULATION_ENTER();
  return give(copy(to, from, {bytes}, kind, stream, CopyCall::asynchronous));
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch,
                              size_t width, size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  EMULATION_ENTER();
  if (to_pitch < width || from_pitch < width) return give(cudaErrorInvalidPitchValue);
  return give(
      copy(to, from, {width, rows, to_pitch, from_pitch}, kind, stream, CopyCall::asynchronous));
}

cudaError_t cudaMemcpyPeerAsync(void* to, int to_device, const void* from, int from_device,
                                size_t bytes, cudaStream_t stream) {
  EMULATION_ENTER();
  const auto destination = DeviceMemory::of_process().around(to, bytes);
  const auto source = DeviceMemory::of_process().around(from, bytes);
  if (!destination || !source || destination->device != to_device ||
      source->device != from_device) {
    return give(cudaErrorInvalidValue);
  }
  return give(copy(to, from, {bytes}, cudaMemcpyDeviceToDevice, stream, CopyCall::asynchronous));
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  EMULATION_ENTER();
  return give(fill(to, value, bytes, nullptr));
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  EMULATION_ENTER();
  return give(fill(to, value, bytes, stream));
}

// Memory in a stream's order (cudaMallocAsync), as cuda_runtime_api.h declares it.
//
// The address is there at once and its bytes only when the stream comes to the allocation: another
// stream that does not wait for it faults. Each device has one pool, which keeps nothing back.

#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/handles.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace {

using namespace bitmill::fake_cuda;

struct Pool {
  int device;
  unsigned long long threshold = 0;
};
struct Pools {
  std::mutex mutex;
  std::map<cudaMemPool_t, Pool> all;
};
Pools& pools() {
  static auto* once = new Pools;
  return *once;
}

cudaMemPool_t pool_of(int device) {
  const std::lock_guard lock(pools().mutex);
  for (const auto& [handle, pool] : pools().all) {
    if (pool.device == device) return handle;
  }
  const auto handle = new_handle<cudaMemPool_t>();
  pools().all[handle] = {device};
  return handle;
}

Pool* find_pool(cudaMemPool_t handle) {
  const std::lock_guard lock(pools().mutex);
  const auto found = pools().all.find(handle);
  return found == pools().all.end() ? nullptr : &found->second;
}

}  // namespace

cudaError_t cudaMallocAsync(void** out, size_t bytes, cudaStream_t handle) {
  EMULATION_ENTER();
  if (out == nullptr) return give(cudaErrorInvalidValue);
  *out = nullptr;
  if (capture_of(handle) != nullptr) return not_emulated("cudaMallocAsync in a graph");
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  void* const address = DeviceMemory::of_process().allocate(stream->device, bytes, false);
  if (address == nullptr) return give(cudaErrorMemoryAllocation);
  order_with_default(stream);
  stream->push_always([address] { DeviceMemory::of_process().open(address); });
  *out = address;
  return cudaSuccess;
}

cudaError_t cudaFreeAsync(void* address, cudaStream_t handle) {
  EMULATION_ENTER();
  if (address == nullptr) return cudaSuccess;
  if (capture_of(handle) != nullptr) return not_emulated("cudaFreeAsync in a graph");
  const std::shared_ptr<Stream> stream = find_stream(handle);
  if (stream == nullptr) return give(cudaErrorInvalidResourceHandle);
  if (!DeviceMemory::of_process().at(address)) return give(cudaErrorInvalidValue);
  DeviceMemory::of_process().mark_freed(address);
  order_with_default(stream);
  stream->push_always([address, device = stream->device] {
    const std::string damage = DeviceMemory::of_process().close(address);
    if (!damage.empty()) break_device(device, cudaErrorIllegalAddress, damage);
  });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* out, int device) {
  EMULATION_ENTER();
  if (device < 0 || device >= device_count()) return give(cudaErrorInvalidDevice);
  *out = pool_of(device);
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t handle, size_t /*bytes*/) {
  EMULATION_ENTER();
  return find_pool(handle) != nullptr ? cudaSuccess : give(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  EMULATION_ENTER();
  const Pool* const pool = find_pool(handle);
  if (pool == nullptr) return give(cudaErrorInvalidValue);
  auto* const number = static_cast<unsigned long long*>(value);
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold:
      *number = pool->threshold;
      return cudaSuccess;
    case cudaMemPoolAttrReservedMemCurrent:
    case cudaMemPoolAttrUsedMemCurrent:
      *number = DeviceMemory::of_process().used(pool->device);
      return cudaSuccess;
    default:
      return not_emulated("this attribute of cudaMemPoolGetAttribute");
  }
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t handle, cudaMemPoolAttr attribute, void* value) {
  EMULATION_ENTER();
  Pool* const pool = find_pool(handle);
  if (pool == nullptr) return give(cudaErrorInvalidValue);
  if (attribute != cudaMemPoolAttrReleaseThreshold) {
    return not_emulated("this attribute of cudaMemPoolSetAttribute");
  }
  pool->threshold = *static_cast<unsigned long long*>(value);
  return cudaSuccess;
}

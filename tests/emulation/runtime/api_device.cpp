// Devices, versions and errors, as cuda_runtime_api.h declares them.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/settings.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace {

using namespace bitmill::fake_cuda;

constexpr int multiprocessors = 4;
constexpr int threads_per_block = 1024;
constexpr int shared_bytes = 48 * 1024, shared_bytes_opt_in = 227 * 1024;
constexpr int registers = 65536;

bool is_device(int device) { return device >= 0 && device < device_count(); }
int physical(int device) { return settings().devices.at(static_cast<size_t>(device)); }

void set_limits(cudaDeviceProp* all) {
  all->major = 9;  // what the kernels are compiled for
  all->minor = 0;
  all->warpSize = 32;
  all->multiProcessorCount = multiprocessors;
  all->maxThreadsPerBlock = threads_per_block;
  all->maxThreadsPerMultiProcessor = 2048;
  all->regsPerBlock = all->regsPerMultiprocessor = registers;
  all->sharedMemPerBlock = shared_bytes;
  all->sharedMemPerBlockOptin = shared_bytes_opt_in;
  all->sharedMemPerMultiprocessor = 228 * 1024;
  for (int i = 0; i < 3; ++i) {
    all->maxThreadsDim[i] = i < 2 ? 1024 : 64;
    all->maxGridSize[i] = i < 1 ? 0x7fffffff : 65535;
  }
}

}  // namespace

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  EMULATION_ENTER();
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (const cudaError_t error = why_not_usable(); error != cudaSuccess) return give(error);
  *device = current_device();
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t error = why_not_usable(); error != cudaSuccess) return give(error);
  if (!is_device(device)) return give(cudaErrorInvalidDevice);
  set_current_device(device);
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* all, int device) {
  if (const cudaError_t error = why_not_usable(); error != cudaSuccess) return give(error);
  if (!is_device(device)) return give(cudaErrorInvalidDevice);
  *all = {};
  std::snprintf(all->name, sizeof(all->name), "bitmill emulation of sm_90");
  std::memcpy(all->uuid.bytes, "bitmill-emulate", 15);
  all->uuid.bytes[15] = static_cast<char>(physical(device));
  all->pciBusID = physical(device) + 1;
  all->totalGlobalMem = settings().memory;
  all->unifiedAddressing = 1;
  all->canMapHostMemory = 1;
  all->asyncEngineCount = 2;
  all->concurrentKernels = 1;
  all->memoryPoolsSupported = 1;
  set_limits(all);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp all;
  if (const cudaError_t error = cudaGetDeviceProperties(&all, device); error != cudaSuccess) {
    return error;
  }
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = all.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = all.minor;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = multiprocessors;
      break;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = threads_per_block;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = shared_bytes;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = shared_bytes_opt_in;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = registers;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = 1;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      break;
    case cudaDevAttrManagedMemory:
      *value = 0;
      break;
    case cudaDevAttrPageableMemoryAccess:
      *value = 0;
      break;
    case cudaDevAttrPciBusId:
      *value = all.pciBusID;
      break;
    default:
      return not_emulated(("cudaDeviceGetAttribute(" + std::to_string(attribute) + ")").c_str());
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  EMULATION_ENTER();
  if (!is_device(device)) return give(cudaErrorInvalidDevice);
  if (length < 13) return give(cudaErrorInvalidValue);
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0",
                static_cast<unsigned>(physical(device) + 1) & 0xffU);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  EMULATION_ENTER();
  if (const cudaError_t error = refuse_while_capturing(); error != cudaSuccess) return give(error);
  wait_for_device(current_device());
  return give(sticky_error(current_device()));
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  EMULATION_ENTER();
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  EMULATION_ENTER();
  if (!is_device(device) || !is_device(peer)) return give(cudaErrorInvalidDevice);
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int /*peer*/, unsigned /*flags*/) {
  EMULATION_ENTER();
  return give(cudaErrorPeerAccessUnsupported);
}

cudaError_t cudaGetLastError() { return take_last_error(); }
cudaError_t cudaPeekAtLastError() { return peek_last_error(); }
const char* cudaGetErrorName(cudaError_t error) { return error_name(error); }
const char* cudaGetErrorString(cudaError_t error) { return error_words(error); }

// Tells libtorch that CUDA is there: devices, generators, pinned memory.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/torch/device_tensors.hpp"

namespace c10::cuda::_internal {
// Exported by libc10_cuda, in no header. libtorch_cuda would call it when it is loaded.
void setHasPrimaryContext(bool (*function)(DeviceIndex));
}  // namespace c10::cuda::_internal

namespace {

const bool primary_context_is_there = [] {
  c10::cuda::_internal::setHasPrimaryContext([](c10::DeviceIndex) { return true; });
  return true;
}();

}  // namespace

namespace at {

// libtorch asks for hooks of this name. Random numbers are the CPU's.
struct CUDAHooks : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs /*unused*/) {}
  void init() const override { bitmill::fake_cuda::device_allocator(); }
  bool isBuilt() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool isAvailable() const override { return c10::cuda::device_count() > 0; }
  bool hasPrimaryContext(DeviceIndex /*device*/) const override { return true; }
  const Generator& getDefaultGenerator(DeviceIndex /*device*/) const override {
    return detail::getDefaultCPUGenerator();
  }
  int getNumGPUs() const override { return c10::cuda::device_count(); }
  DeviceIndex deviceCount() const override { return c10::cuda::device_count(); }
  DeviceIndex current_device() const override { return c10::cuda::current_device(); }
  DeviceIndex getCurrentDevice() const override { return c10::cuda::current_device(); }
  bool isPinnedPtr(const void* address) const override {
    return bitmill::fake_cuda::PinnedMemory::of_process().contains(address);
  }
  Allocator* getPinnedMemoryAllocator() const override {
    return bitmill::fake_cuda::pinned_allocator();
  }
  Device getDeviceFromPtr(void* address) const override {
    const auto place = bitmill::fake_cuda::DeviceMemory::of_process().around(address, 1);
    TORCH_CHECK(place.has_value(), "emulation: no device memory at this address");
    return {kCUDA, static_cast<DeviceIndex>(place->device)};
  }
  void deviceSynchronize(DeviceIndex device) const override {
    const c10::cuda::CUDAGuard guard(device);
    C10_CUDA_CHECK(cudaDeviceSynchronize());
  }
};
REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at

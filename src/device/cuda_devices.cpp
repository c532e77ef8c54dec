#include "device/cuda_devices.hpp"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "base/error.hpp"
#include "base/host_name.hpp"
#include "device/cuda_fault.hpp"
#include "device/device.hpp"
#include "device/queue.hpp"
#include "kernels/add_table.hpp"

namespace bitmill {
namespace {

int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

int runtime_version() {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess ? version : 0;
}

struct VisibleDevices {
  int count = 0;
  std::string problem;  // why there is none
};

VisibleDevices visible_devices() {
  VisibleDevices seen;
  const cudaError_t error = cudaGetDeviceCount(&seen.count);
  if (error == cudaSuccess && seen.count > 0) return seen;
  cudaGetLastError();
  return {0, why_no_devices(error, driver_version(), runtime_version())};
}

CudaDeviceInfo device_info(int index) {
  cudaDeviceProp device;
  CudaDeviceInfo info;
  info.index = index;
  if (const cudaError_t error = cudaGetDeviceProperties(&device, index); error != cudaSuccess) {
    cudaGetLastError();
    info.problem = "its properties cannot be read: " + cuda_words(error);
    return info;
  }
  info.name = device.name;
  info.memory_bytes = static_cast<int64_t>(device.totalGlobalMem);
  info.major = device.major;
  info.minor = device.minor;
  info.multiprocessors = device.multiProcessorCount;
  return info;
}

void add_one_and_one(int index) {
  const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  const at::Tensor ones = at::full({2}, 1.0F, at::device(device).dtype(at::kFloat));
  const at::Tensor two = at::full({1}, 0.0F, ones.options());
  kernels::AddTables task{};
  task.tables[0] = {ones.const_data_ptr<float>(), two.mutable_data_ptr<float>(), 2, 1};
  task.count = 1;
  check_cuda(kernels::add_tables(task, stream_of(two)), "the first kernel");
  const float sum = two.item<float>();
  BITMILL_CHECK(sum == 2, DeviceError,
                fmt::format("{} computes 1 + 1 = {}: it cannot be trusted; look at nvidia-smi -q",
                            cuda_place(index), sum));
}

void try_out(CudaDeviceInfo& info) {
  try {
    with_device_errors([&] {
      const c10::cuda::CUDAGuard back(static_cast<c10::DeviceIndex>(info.index));
      size_t free = 0, total = 0;
      check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
      info.free_bytes = static_cast<int64_t>(free);
      try_cuda_device(info.index);
    });
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    info.problem = error.what();
  }
}

}  // namespace

CudaHost find_cuda_devices(DeviceLook look) {
  CudaHost host;
  host.compiled = true;
  host.driver = cuda_version_text(driver_version());
  host.runtime = cuda_version_text(runtime_version());
  const VisibleDevices seen = visible_devices();
  host.problem = seen.problem;
  bool usable = seen.count == 0;
  for (int index = 0; index < seen.count; ++index) {
    CudaDeviceInfo info = device_info(index);
    if (look == DeviceLook::try_out && info.problem.empty()) try_out(info);
    usable = usable || info.problem.empty();
    host.devices.push_back(std::move(info));
  }
  if (!usable) host.problem = "none can be used; the first: " + host.devices.front().problem;
  return host;
}

void check_cuda_index(int index) {
  const VisibleDevices seen = visible_devices();
  BITMILL_CHECK(seen.count > 0, DeviceError,
                fmt::format("no GPU can be used on {}: {}", host_name(), seen.problem));
  BITMILL_CHECK(index >= 0 && index < seen.count, DeviceError,
                fmt::format("there is no cuda:{} on {}: this process sees {}, numbered from 0; "
                            "CUDA_VISIBLE_DEVICES and the batch system decide which it sees, and "
                            "bitmill devices lists them",
                            index, host_name(),
                            seen.count == 1 ? "1 GPU" : fmt::format("{} GPUs", seen.count)));
}

void try_cuda_device(int index) {
  try {
    with_device_errors([&] {
      check_cuda(c10::cuda::SetDevice(static_cast<c10::DeviceIndex>(index)), "cudaSetDevice");
      check_cuda(cudaFree(nullptr), "beginning to work");  // a device begins at the first call
      at::globalContext().lazyInitDevice(at::kCUDA);
      add_one_and_one(index);
    });
  } catch (const DeviceLostError& error) {
    throw DeviceError(error.what());
  }
}

}  // namespace bitmill

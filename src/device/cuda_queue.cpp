#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "base/error.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

std::string current_device_words() {
  int device = -1;
  return cudaGetDevice(&device) == cudaSuccess ? fmt::format(" on cuda:{}", device) : "";
}

std::string_view advice_after(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "; the memory of the device is used up: choose a shorter --seq-len, or give the job a "
             "device of its own";
    case cudaErrorNoKernelImageForDevice:
      return "; this bitmill was built for other GPUs: build it with CMAKE_CUDA_ARCHITECTURES set "
             "to this one's architecture";
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable:
      return "; work that was queued earlier may have caused it, and the process cannot use the "
             "device any more: start the job again";
    default:
      return "";
  }
}

}  // namespace

kernels::cudaStream_t stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

void check_cuda(kernels::cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return;
  throw DeviceError(fmt::format("CUDA: {} ({}) from {}{}{}", cudaGetErrorName(error),
                                cudaGetErrorString(error), what, current_device_words(),
                                advice_after(error)));
}

kernels::Element element_of(const at::Tensor& tensor) {
  const bool known = tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kBFloat16;
  BITMILL_CHECK(
      known, DeviceError,
      fmt::format("kernels know float32 and bfloat16, not {}", at::toString(tensor.scalar_type())));
  return tensor.scalar_type() == at::kFloat ? kernels::Element::float32
                                            : kernels::Element::bfloat16;
}

}  // namespace bitmill

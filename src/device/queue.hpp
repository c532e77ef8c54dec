#pragma once
// How code above launches kernels of ours on tensors of a GPU. In a build without CUDA no tensor is
// on a GPU, and nothing here is called.

#include <ATen/core/Tensor.h>

#include <string_view>

#include "kernels/element.hpp"
#include "kernels/launch.hpp"

namespace bitmill {

// The stream on which the calling thread's work on this tensor's device is queued.
kernels::cudaStream_t stream_of(const at::Tensor& tensor);
// DeviceError with CUDA's name and words for the error, device, host, and what to try;
// DeviceLostError where the device itself broke. `what` is the kernel or the call. Forgets the
// error, so that the next launch does not return it again.
void check_cuda(kernels::cudaError_t error, std::string_view what);
// REQUIRES: the tensor is float32 or bfloat16.
kernels::Element element_of(const at::Tensor& tensor);

}  // namespace bitmill

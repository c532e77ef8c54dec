#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>

#include "base/error.hpp"
#include "device/queue.hpp"

namespace bitmill {

kernels::cudaStream_t stream_of(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
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

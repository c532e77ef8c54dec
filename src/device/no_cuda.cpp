// Of a build without CUDA: no tensor is on a GPU, and the ways to one refuse.

#include <ATen/core/Tensor.h>

#include "base/error.hpp"
#include "device/device.hpp"
#include "device/product.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

constexpr const char* not_built =
    "this bitmill was built without CUDA; cmake --preset cuda builds one with it (README.md)";

[[noreturn]] void refuse() { throw UsageError(not_built); }

}  // namespace

std::unique_ptr<Device> cuda_device(const CudaWish& /*wish*/, ThreadPool& /*pool*/) { refuse(); }

void with_device_errors(const std::function<void()>& work) { work(); }

CudaHost find_cuda_devices(DeviceLook /*look*/) {
  CudaHost host;
  host.problem = not_built;
  return host;
}

kernels::cudaStream_t stream_of(const at::Tensor& /*tensor*/) { refuse(); }
void check_cuda(kernels::cudaError_t /*error*/, std::string_view /*what*/) { refuse(); }
kernels::Element element_of(const at::Tensor& /*tensor*/) { refuse(); }

void product_into(const at::Tensor& /*out*/, const at::Tensor& /*a*/, const at::Tensor& /*b*/,
                  bool /*accumulate*/) {
  refuse();
}
at::Tensor product(const at::Tensor& /*a*/, const at::Tensor& /*b*/) { refuse(); }
at::Tensor product_in_float32(const at::Tensor& /*a*/, const at::Tensor& /*b*/) { refuse(); }
std::string chosen_algorithms() { return ""; }
void forget_algorithms(at::Device /*gpu*/) { refuse(); }
std::string algorithm_table(at::Device /*gpu*/) { refuse(); }
void clear_away(at::Device /*gpu*/) { refuse(); }
void keep_to_algorithms(at::Device /*gpu*/, std::string_view /*table*/) { refuse(); }
void choose_algorithms_freely(at::Device /*gpu*/) {}

}  // namespace bitmill

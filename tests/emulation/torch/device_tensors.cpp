#include "emulation/torch/device_tensors.hpp"

#include <ATen/ops/from_blob.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>

#include <cstring>

#include "emulation/runtime/device_memory.hpp"

namespace bitmill::fake_cuda {
namespace {

class Pinned final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = nullptr;
    if (bytes > 0) C10_CUDA_CHECK(cudaHostAlloc(&data, bytes, cudaHostAllocDefault));
    return {data, data, raw_deleter(), at::kCPU};
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return [](void* data) {
      if (data != nullptr) C10_CUDA_CHECK_WARN(cudaFreeHost(data));
    };
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

}  // namespace

c10::Allocator* device_allocator() {
  static const bool begun = [] {
    c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
    return true;
  }();
  (void)begun;
  return c10::cuda::CUDACachingAllocator::get();
}

c10::Allocator* pinned_allocator() {
  static auto* allocator = new Pinned;  // tensors may be freed while the process ends
  return allocator;
}

at::Tensor as_device_work_sees(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  TORCH_CHECK(!tensor.is_conj() && !tensor.is_neg(),
              "emulation: tensors with a conjugate or negative bit are not emulated");
  return at::from_blob(alias(tensor.const_data_ptr()), tensor.sizes(), tensor.strides(),
                       tensor.options().device(at::kCPU).requires_grad(false));
}

}  // namespace bitmill::fake_cuda

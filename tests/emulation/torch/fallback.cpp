// Every operator of a device tensor that has no implementation of its own runs the CPU's:
// libtorch's fallback copies the arguments to the host in the order of the current stream, and the
// results back behind it. So an operator on one stream that reads what another stream has not made
// yet computes with what is there, as on a device.

#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/native/CPUFallback.h>
#include <torch/library.h>

#include <optional>
#include <string>

namespace {

// A device tensor among CPU tensors is an error that libtorch_cuda's kernels would find. Scalars
// (CPU tensors without dimensions) are allowed, and CPU indices where libtorch allows them.
class DeviceCheck {
 public:
  explicit DeviceCheck(const c10::OperatorHandle& called) : called_(called) {}

  void look(const at::Tensor& tensor) {
    if (!tensor.defined() || (tensor.is_cpu() && tensor.dim() == 0)) return;
    if (tensor.is_cpu()) {
      host_ = true;
      return;
    }
    TORCH_CHECK(device_.value_or(tensor.device()) == tensor.device(), wanted_one(), *device_,
                " and ", tensor.device(), " in ", called_.operator_name());
    device_ = tensor.device();
  }

  void look(const c10::IValue& value) {
    if (value.isTensor()) look(value.toTensor());
    if (value.isTensorList()) {
      for (const at::Tensor& tensor : value.toTensorList()) look(tensor);
    }
    if (value.isOptionalTensorList()) {
      for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorList()) {
        if (tensor.has_value()) look(*tensor);
      }
    }
  }

  void finish() const {
    const std::string& name = called_.schema().name();
    const bool takes_host_indices =
        name == "aten::index" || name == "aten::index_put_" || name == "aten::_index_put_impl_";
    TORCH_CHECK(!host_ || !device_ || takes_host_indices, wanted_one(), "cpu and ", *device_,
                " in ", called_.operator_name());
  }

 private:
  static const char* wanted_one() {
    return "Expected all tensors to be on the same device, but found ";
  }
  const c10::OperatorHandle& called_;
  std::optional<at::Device> device_;
  bool host_ = false;
};

void run_on_cpu(const c10::OperatorHandle& called, torch::jit::Stack* stack) {
  DeviceCheck check(called);
  for (const c10::IValue& value : torch::jit::last(*stack, called.schema().arguments().size())) {
    check.look(value);
  }
  check.finish();
  at::native::cpu_fallback(called, stack);
}

TORCH_LIBRARY_IMPL(_, CUDA, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

}  // namespace

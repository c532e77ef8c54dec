#include "model/device_activation.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "kernels/gated_activation.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

kernels::Activation kernels_word_for(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return kernels::Activation::silu;
    case Activation::relu:
      return kernels::Activation::relu;
    case Activation::gelu:
      return kernels::Activation::gelu;
    case Activation::gelu_tanh:
      return kernels::Activation::gelu_tanh;
  }
  return {};
}

const void* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}

struct DeviceActivation : torch::autograd::Function<DeviceActivation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const std::optional<at::Tensor>& given_up, int64_t activation) {
    const at::Tensor gate = kernel_input(given);
    const at::Tensor up = given_up ? kernel_input(*given_up) : at::Tensor();
    const at::Tensor out = at::empty(gate.sizes(), gate.options());
    const kernels::GatedActivation task{.gate = gate.const_data_ptr(),
                                        .up = data_or_null(up),
                                        .out = out.data_ptr(),
                                        .count = gate.numel(),
                                        .activation = static_cast<kernels::Activation>(activation),
                                        .element = element_of(gate)};
    check_cuda(kernels::gated_activation(task, stream_of(gate)), "gated_activation");
    context->save_for_backward({gate, up});
    context->saved_data["activation"] = activation;
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor gradient = kernel_input(gradients[0]);
    const at::Tensor of_gate = at::empty(gate.sizes(), gate.options());
    at::Tensor of_up;
    if (up.defined()) of_up = at::empty(up.sizes(), up.options());
    const auto activation = context->saved_data["activation"].toInt();
    const kernels::GatedActivationGradient task{
        .gate = gate.const_data_ptr(),
        .up = data_or_null(up),
        .gradient = gradient.const_data_ptr(),
        .of_gate = of_gate.data_ptr(),
        .of_up = of_up.defined() ? of_up.data_ptr() : nullptr,
        .count = gate.numel(),
        .activation = static_cast<kernels::Activation>(activation),
        .element = element_of(gate)};
    check_cuda(kernels::gated_activation_gradient(task, stream_of(gate)),
               "gated_activation_gradient");
    return {of_gate, of_up, at::Tensor()};
  }
};

}  // namespace

at::Tensor device_activation(Activation activation, const at::Tensor& gate, const at::Tensor& up) {
  const auto second = up.defined() ? std::optional(up) : std::nullopt;
  return DeviceActivation::apply(gate, second, static_cast<int64_t>(kernels_word_for(activation)));
}

}  // namespace bitmill

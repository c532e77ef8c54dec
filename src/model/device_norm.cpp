#include "model/device_norm.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "kernels/rms_norm.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DeviceRmsNorm : torch::autograd::Function<DeviceRmsNorm> {
  // x [..., size], weight [size] float32 or undefined
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const std::optional<at::Tensor>& given_weight, double epsilon) {
    const at::Tensor x = kernel_input(given);
    const at::Tensor weight = given_weight ? kernel_input(*given_weight) : at::Tensor();
    const int64_t size = x.size(-1);
    const at::Tensor y = at::empty(x.sizes(), x.options());
    const at::Tensor inverse = at::empty({x.numel() / size}, x.options().dtype(at::kFloat));
    const kernels::RmsNorm task{.x = x.const_data_ptr(),
                                .weight = floats_or_null(weight),
                                .y = y.data_ptr(),
                                .inverse_rms = inverse.data_ptr<float>(),
                                .tokens = inverse.size(0),
                                .hidden = size,
                                .epsilon = static_cast<float>(epsilon),
                                .x_element = element_of(x),
                                .y_element = element_of(y)};
    check_cuda(kernels::rms_norm(task, stream_of(x)), "rms_norm");
    context->save_for_backward({x, weight, inverse});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor gradient = kernel_input(gradients[0]);
    const at::Tensor of_x = at::empty(x.sizes(), x.options());
    const kernels::RmsNormGradient task{.x = x.const_data_ptr(),
                                        .weight = floats_or_null(weight),
                                        .inverse_rms = inverse.const_data_ptr<float>(),
                                        .gradient = gradient.const_data_ptr(),
                                        .of_x = of_x.data_ptr(),
                                        .tokens = inverse.size(0),
                                        .hidden = x.size(-1),
                                        .x_element = element_of(x),
                                        .y_element = element_of(gradient)};
    check_cuda(kernels::rms_norm_gradient(task, stream_of(x)), "rms_norm_gradient");
    return {of_x, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor device_normalize(NormKind kind, const Norm& norm, const at::Tensor& x, double epsilon) {
  if (kind == NormKind::layer) {
    return at::layer_norm(x.to(at::kFloat), x.size(-1), norm.weight, norm.bias, epsilon)
        .to(x.scalar_type());
  }
  const auto weight = norm.weight.defined() ? std::optional(norm.weight) : std::nullopt;
  return DeviceRmsNorm::apply(x, weight, epsilon);
}

}  // namespace bitmill

#include "model/device_linear.hpp"

#include <torch/csrc/autograd/custom_function.h>

#include "device/product.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DeviceLinear : torch::autograd::Function<DeviceLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight) {
    context->save_for_backward({weight});
    return product(x, weight.t());
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor weight = context->get_saved_variables()[0];
    return {product(gradients[0].contiguous(), weight), at::Tensor()};
  }
};

}  // namespace

at::Tensor device_linear(const at::Tensor& x, const at::Tensor& weight) {
  return DeviceLinear::apply(x, weight);
}

}  // namespace bitmill

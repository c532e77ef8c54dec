#include "model/device_rotary.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "device/kernel_input.hpp"
#include "device/queue.hpp"
#include "kernels/rotary.hpp"

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DeviceRotation : torch::autograd::Function<DeviceRotation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return turn(x, cosine, sine, /*back=*/false);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    return {turn(gradients[0], saved[0], saved[1], /*back=*/true), at::Tensor(), at::Tensor()};
  }

 private:
  static at::Tensor turn(const at::Tensor& given, const at::Tensor& cosine, const at::Tensor& sine,
                         bool back) {
    const at::Tensor x = kernel_input(given);
    const at::Tensor y = at::empty(x.sizes(), x.options());
    const kernels::Rotate task{.x = x.const_data_ptr(),
                               .cosine = cosine.const_data_ptr<float>(),
                               .sine = sine.const_data_ptr<float>(),
                               .y = y.data_ptr(),
                               .tokens = x.size(0),
                               .heads = x.size(1),
                               .head_dim = x.size(2),
                               .back = back,
                               .element = element_of(x)};
    check_cuda(kernels::rotate(task, stream_of(x)), "rotate");
    return y;
  }
};

}  // namespace

at::Tensor device_rotate(const at::Tensor& x, const Rotary& rotary) {
  return DeviceRotation::apply(x, kernel_input(rotary.cosine), kernel_input(rotary.sine));
}

}  // namespace bitmill

#include "model/device_rotary.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace bitmill {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct DeviceRotation : torch::autograd::Function<DeviceRotation> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cosine,
                            const at::Tensor& sine) {
    context->save_for_backward({cosine, sine});
    return turn(x, cosine, sine);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    return {turn(gradients[0], saved[0], -saved[1]), at::Tensor(), at::Tensor()};
  }

 private:
  // Halves (a, b) of a head become (a cos - b sin, b cos + a sin).
  static at::Tensor turn(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
    const int64_t half = x.size(2) / 2;
    const at::Tensor turned = at::cat({-x.narrow(2, half, half), x.narrow(2, 0, half)}, 2);
    return (x * cosine.unsqueeze(1) + turned * sine.unsqueeze(1)).to(x.scalar_type());
  }
};

}  // namespace

at::Tensor device_rotate(const at::Tensor& x, const Rotary& rotary) {
  return DeviceRotation::apply(x, rotary.cosine, rotary.sine);
}

}  // namespace bitmill

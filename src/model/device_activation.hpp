#pragma once
// The activation on a GPU and its product with the second branch, in one pass each way
// (kernels/gated_activation.hpp).

#include <ATen/core/Tensor.h>

#include "model/config.hpp"

namespace bitmill {

// f(gate) * up, element by element; f(gate) where `up` is undefined. Computed in float32, rounded
// once to the element. Differentiable in both.
at::Tensor device_activation(Activation activation, const at::Tensor& gate,
                             const at::Tensor& up = {});

}  // namespace bitmill

#pragma once
// The rotation of heads on a GPU.

#include <ATen/core/Tensor.h>

#include "model/rotary.hpp"

namespace bitmill {

// As rotate(), which calls it: x [T, heads, head_dim] of either element type, tables float32. In
// float32, rounded once; its gradient, the rotation back, too.
at::Tensor device_rotate(const at::Tensor& x, const Rotary& rotary);

}  // namespace bitmill

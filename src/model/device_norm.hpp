#pragma once
// The norms on a GPU: computed in float32 from x of either element type, rounded once to it.

#include <ATen/core/Tensor.h>

#include "model/norm.hpp"

namespace bitmill {

// As normalize(), which calls it; weight and bias float32 on x's device. An rms norm is one pass by
// kernels/rms_norm.hpp; a layer norm is libtorch's.
at::Tensor device_normalize(NormKind kind, const Norm& norm, const at::Tensor& x, double epsilon);

}  // namespace bitmill

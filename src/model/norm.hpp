#pragma once
// The norms of a decoder. Differentiable in x.

#include <ATen/core/Tensor.h>

#include "model/family.hpp"

namespace bitmill {

// float32 [size] each. Undefined: ones and zeros; an rms norm has no bias.
struct Norm {
  at::Tensor weight;
  at::Tensor bias;
};

// Over the last dimension of x, which is norm's size. The result has x's type.
at::Tensor normalize(NormKind kind, const Norm& norm, const at::Tensor& x, double epsilon);

}  // namespace bitmill

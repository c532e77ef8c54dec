#pragma once
// The loss of one sample (spec section 4).

#include <ATen/core/Tensor.h>

namespace bitmill {

// MSE(student, normal) + MSE(student, homologous) - log|C(student, normal)|
//   - log|C(student, homologous)|; C is the cosine over the hidden dimension of each token,
//   averaged
// over tokens. All [T, hidden] float32; the result is a scalar, differentiable in `student`.
at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous);

// How close an output is to its target, for reports: float64 sums over all elements, so that
// samples can be added up in a fixed order.
struct Closeness {
  double squared_error = 0;   // sum of (a - b)^2
  double squared_target = 0;  // sum of b^2
  double cosine = 0;          // sum over tokens of the cosine
  double tokens = 0;
};
Closeness measure_closeness(const at::Tensor& output, const at::Tensor& target);

}  // namespace bitmill

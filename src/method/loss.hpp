#pragma once
// The loss of one sample (METHOD.md, "The loss").

#include <ATen/core/Tensor.h>

#include "method/settings.hpp"

namespace bitmill {

// The weighted sum over both targets of
//   error(student, target) - log|C(student, target)|.
// C is the cosine over the hidden dimension of each token, averaged over tokens. The absolute error
// is the mean square of the difference. The relative error is a mean over tokens: the mean square
// of a token's difference divided by the mean square of its target (plus 1e-6). A target of weight
// 0 is not read. All are [T, hidden] float32; the result is a scalar, differentiable in `student`.
// On a GPU they may be bfloat16, the targets both of one type, and the result is a float32 scalar
// there (device_loss.hpp).
at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous, const LossSettings& settings = {});

// How close an output is to its target, for reports. All are sums, in float64, so that those of
// several samples can be added up in a fixed order.
struct Closeness {
  double squared_error = 0;   // sum of (a - b)^2
  double squared_target = 0;  // sum of b^2
  double cosine = 0;          // sum over tokens of the cosine
  double tokens = 0;
};
// For tensors on a GPU it waits.
Closeness measure_closeness(const at::Tensor& output, const at::Tensor& target);

}  // namespace bitmill

#pragma once
// The loss of one sample (METHOD.md, "The loss").

#include <ATen/core/Tensor.h>

#include "method/settings.hpp"

namespace bitmill {

// The sum over both targets, each with its weight, of
//   error(student, target) - log|C(student, target)|,
// C the cosine over the hidden dimension of each token, averaged over tokens; error the mean square
// of the difference, or, where it is relative, the mean over tokens of a token's mean square
// divided by its target's (plus 1e-6). A target of weight 0 is not looked at. All [T, hidden]
// float32; the result is a scalar, differentiable in `student`.
at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous, const LossSettings& settings = {});

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

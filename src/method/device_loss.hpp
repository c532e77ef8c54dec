#pragma once
// The loss of one sample on a GPU and its gradient, one pass over memory each
// (kernels/sample_loss.hpp).

#include <ATen/core/Tensor.h>

#include "method/settings.hpp"

namespace bitmill {

// As sample_loss(), which calls it: a scalar float32 on the device. student [T, hidden] float32 or
// bfloat16; the targets float32 or bfloat16, both the same. Numbers as the kernel's page says.
at::Tensor device_sample_loss(const at::Tensor& student, const at::Tensor& normal,
                              const at::Tensor& homologous, const LossSettings& settings);

}  // namespace bitmill

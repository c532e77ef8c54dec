#include "model/norm.hpp"

#include <ATen/ATen.h>

#include "model/device_norm.hpp"

namespace bitmill {

at::Tensor normalize(NormKind kind, const Norm& norm, const at::Tensor& x, double epsilon) {
  if (x.is_cuda()) return device_normalize(kind, norm, x, epsilon);
  if (kind == NormKind::rms) {  // x / sqrt(mean(x^2) + epsilon) * weight
    return x * at::rsqrt(at::mean(x * x, -1, /*keepdim=*/true) + epsilon) * norm.weight;
  }
  // (x - mean) / sqrt(variance + epsilon) * weight + bias
  return at::layer_norm(x, x.size(-1), norm.weight, norm.bias, epsilon);
}

}  // namespace bitmill

#include "method/loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace bitmill {
namespace {

// Keeps the cosine of a zero vector finite (and 0); the usual choice of the published code's
// library.
constexpr double smallest_norm = 1e-8;

at::Tensor token_cosines(const at::Tensor& a, const at::Tensor& b) {
  return at::cosine_similarity(a, b, /*dim=*/-1, smallest_norm);
}

at::Tensor distance(const at::Tensor& student, const at::Tensor& target) {
  return at::mse_loss(student, target) - token_cosines(student, target).mean().abs().log();
}

}  // namespace

at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous) {
  return distance(student, normal) + distance(student, homologous);
}

Closeness measure_closeness(const at::Tensor& output, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = output.to(at::kDouble), b = target.to(at::kDouble);
  return {(a - b).square().sum().item<double>(), b.square().sum().item<double>(),
          token_cosines(a, b).sum().item<double>(), static_cast<double>(output.size(0))};
}

}  // namespace bitmill

#include "method/loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace bitmill {
namespace {

// Keeps the cosine of a zero vector finite (and 0); the usual choice of the published code's
// library.
constexpr double smallest_norm = 1e-8;

at::Tensor token_cosines(const at::Tensor& a, const at::Tensor& b) {
  return at::cosine_similarity(a, b, /*dim=*/-1, smallest_norm);
}

// Keeps the relative error of a token whose target is 0 finite (spec section 9).
constexpr double smallest_square = 1e-6;

at::Tensor error(ErrorKind kind, const at::Tensor& student, const at::Tensor& target) {
  if (kind == ErrorKind::absolute) return at::mse_loss(student, target);
  const at::Tensor size = target.square().mean(-1) + smallest_square;  // [T]
  return ((student - target).square().mean(-1) / size).mean();
}

at::Tensor distance(ErrorKind kind, const at::Tensor& student, const at::Tensor& target) {
  return error(kind, student, target) - token_cosines(student, target).mean().abs().log();
}

}  // namespace

at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous, const LossSettings& settings) {
  at::Tensor loss;
  for (const auto& [weight, target] :
       {std::pair{settings.normal, normal}, std::pair{settings.homologous, homologous}}) {
    if (weight == 0) continue;
    // A weight of 1 multiplies exactly: it is no other arithmetic than none.
    const at::Tensor term = distance(settings.error, student, target) * weight;
    loss = loss.defined() ? loss + term : term;
  }
  return loss;
}

Closeness measure_closeness(const at::Tensor& output, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = output.to(at::kDouble), b = target.to(at::kDouble);
  return {(a - b).square().sum().item<double>(), b.square().sum().item<double>(),
          token_cosines(a, b).sum().item<double>(), static_cast<double>(output.size(0))};
}

}  // namespace bitmill

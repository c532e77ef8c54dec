#include "method/loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "method/device_loss.hpp"

namespace bitmill {
namespace {

// Keeps the cosine of a zero vector finite (and 0). The default of the library that the published
// code uses.
constexpr double smallest_norm = 1e-8;

at::Tensor token_cosines(const at::Tensor& a, const at::Tensor& b) {
  return at::cosine_similarity(a, b, /*dim=*/-1, smallest_norm);
}

// Keeps the relative error of a token whose target is 0 finite (METHOD.md, "The loss").
constexpr double smallest_square = 1e-6;

at::Tensor error(ErrorKind kind, const at::Tensor& student, const at::Tensor& target) {
  if (kind == ErrorKind::absolute) return at::mse_loss(student, target);
  const at::Tensor size = target.square().mean(-1) + smallest_square;  // [T]
  return ((student - target).square().mean(-1) / size).mean();
}

// The cosine is made first, and in sample_loss() the homologous target is. The order in which terms
// are made decides the order in which autograd adds their gradients, and so the last bits.
at::Tensor distance(ErrorKind kind, const at::Tensor& student, const at::Tensor& target) {
  const at::Tensor cosine = token_cosines(student, target).mean().abs().log();
  return error(kind, student, target) - cosine;
}

// Undefined for a weight of 0.
at::Tensor term(const LossSettings& settings, double weight, const at::Tensor& student,
                const at::Tensor& target) {
  if (weight == 0) return {};
  const at::Tensor plain = distance(settings.error, student, target);
  return weight == 1 ? plain : plain * weight;
}

}  // namespace

at::Tensor sample_loss(const at::Tensor& student, const at::Tensor& normal,
                       const at::Tensor& homologous, const LossSettings& settings) {
  if (student.is_cuda()) return device_sample_loss(student, normal, homologous, settings);
  const at::Tensor second = term(settings, settings.homologous, student, homologous);
  const at::Tensor first = term(settings, settings.normal, student, normal);
  if (!second.defined()) return first;
  return first.defined() ? first + second : second;
}

Closeness measure_closeness(const at::Tensor& output, const at::Tensor& target) {
  const at::NoGradGuard no_grad;
  const at::Tensor a = output.to(at::kDouble), b = target.to(at::kDouble);
  // Of a GPU, this is where the host waits: once.
  const at::Tensor sums =
      at::stack({(a - b).square().sum(), b.square().sum(), token_cosines(a, b).sum()}).cpu();
  const double* sum = sums.const_data_ptr<double>();
  return {sum[0], sum[1], sum[2], static_cast<double>(output.size(0))};
}

}  // namespace bitmill

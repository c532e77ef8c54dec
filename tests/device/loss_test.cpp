// The loss on a GPU against the CPU's, and its gradient against autograd in float64.

#include "method/loss.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <vector>

#include "device/gpu_fixture.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::relative_gap;

struct LossCase {
  int64_t tokens, hidden;
  LossSettings settings;
};

class LossOnGpu : public test::OnGpu {};
class LossesOnGpu : public LossOnGpu, public testing::WithParamInterface<LossCase> {};

struct LossPasses {
  at::Tensor loss, gradient;
};

// The gradient of three times the loss.
LossPasses loss_passes(const std::vector<at::Tensor>& given, const LossSettings& settings) {
  const at::AutoGradMode grad_mode(true);
  const at::Tensor student = given[0].detach().requires_grad_(true);
  const at::Tensor loss = sample_loss(student, given[1], given[2], settings);
  return {loss.detach(), torch::autograd::grad({loss * 3}, {student})[0]};
}

TEST_P(LossesOnGpu, HaveTheGradientOfFloat64) {
  const LossCase& tested = GetParam();
  std::vector<at::Tensor> given;
  for (int i = 0; i < 3; ++i) given.push_back(at::randn({tested.tokens, tested.hidden}));
  for (const auto& [student, target, bound] :
       {std::tuple{at::kFloat, at::kFloat, 1e-5}, std::tuple{at::kBFloat16, at::kBFloat16, 5e-3},
        std::tuple{at::kBFloat16, at::kFloat, 5e-3}}) {
    const auto device = device_of(student);
    const std::vector<at::Tensor> there = {device->bring(given[0]), device->bring(given[1], target),
                                           device->bring(given[2], target)};
    std::vector<at::Tensor> same;
    for (const at::Tensor& tensor : there) same.push_back(tensor.cpu().to(at::kDouble));
    const LossPasses expected = loss_passes(same, tested.settings);
    const LossPasses actual = loss_passes(there, tested.settings);
    EXPECT_TRUE(actual.loss.is_cuda());
    EXPECT_EQ(actual.loss.dim(), 0);
    EXPECT_NEAR(actual.loss.item<double>(), expected.loss.item<double>(),
                1e-5 * (1 + std::abs(expected.loss.item<double>())));
    EXPECT_EQ(actual.gradient.scalar_type(), student);
    EXPECT_LT(relative_gap(actual.gradient, expected.gradient), bound);
  }
}

constexpr LossSettings relative_error = {.error = ErrorKind::relative};
constexpr LossSettings only_normal = {.homologous = 0};
constexpr LossSettings only_homologous = {.normal = 0, .homologous = 0.25};

INSTANTIATE_TEST_SUITE_P(Settings, LossesOnGpu,
                         testing::Values(LossCase{16, 32, {}}, LossCase{1, 7, {}},
                                         LossCase{5, 33, relative_error},
                                         LossCase{16, 32, only_normal},
                                         LossCase{3, 31, only_homologous}));

// A target of weight 0 may be missing.
TEST_F(LossOnGpu, DoesNotReadATargetOfWeightZero) {
  const auto device = device_of(at::kFloat);
  const at::Tensor student = device->bring(at::randn({3, 8}));
  const at::Tensor target = device->bring(at::randn({3, 8}));
  const at::Tensor missing;
  EXPECT_TRUE(sample_loss(student, target, missing, only_normal).isfinite().item<bool>());
  EXPECT_TRUE(sample_loss(student, missing, target, only_homologous).isfinite().item<bool>());
}

TEST_F(LossOnGpu, ClosenessIsThatOfTheCpu) {
  const at::Tensor output = at::randn({9, 21}), target = at::randn({9, 21});
  const Closeness expected = measure_closeness(output, target);
  const auto device = device_of(at::kFloat);
  const Closeness actual = measure_closeness(device->bring(output), device->bring(target));
  EXPECT_NEAR(actual.squared_error, expected.squared_error, 1e-10 * expected.squared_error);
  EXPECT_NEAR(actual.squared_target, expected.squared_target, 1e-10 * expected.squared_target);
  EXPECT_NEAR(actual.cosine, expected.cosine, 1e-10);
  EXPECT_EQ(actual.tokens, 9);
}

}  // namespace
}  // namespace bitmill

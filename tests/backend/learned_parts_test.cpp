// What may be learned beside the scales: signs against the definition of straight through, means
// and 4-bit scales against finite differences, and the cpu backend against the reference.

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend.hpp"
#include "backend/random_linear.hpp"
#include "device/host_product.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::Case;

// In the order of PartsResult::gradients.
constexpr std::array parts = {part::row_scale, part::row_gain,   part::col_gain,
                              part::row_mean,  part::code_scale, part::latents};
const LearnedNames everything(parts.begin(), parts.end());

// Odd sizes, more tokens than a tile, more rows than a tile, no low and no salient columns.
const std::vector<Case> awkward_shapes = {{1, 1, 1, 0},     {3, 5, 7, 2},     {31, 33, 29, 8},
                                          {5, 3, 0, 4},     {600, 37, 53, 0}, {257, 300, 15, 1},
                                          {40, 129, 46, 11}};

// Latents on both sides of 0 and of the window.
LearnedLinear random_everything(const Case& shape) {
  LearnedLinear learned = test::random_learned(shape);
  learned.set(part::row_mean, at::randn({shape.rows}) * 0.1);
  learned.set(part::code_scale, at::rand({shape.rows}) * 0.1 + 0.01);
  learned.set(part::latents, at::randn({shape.rows, shape.low}) * 1.2);
  return learned;
}

struct PartsResult {
  at::Tensor y;
  std::vector<at::Tensor> gradients;  // of x, then of `parts`
};

PartsResult run_parts(const Backend& backend, const Case& shape, ThreadPool& pool) {
  FrozenLinear frozen = test::random_frozen(shape, 7);
  frozen.signs.reset();
  LearnedLinear learned = random_everything(shape);
  const at::Tensor x = at::randn({shape.tokens, shape.low + shape.salient}).requires_grad_(true);
  const at::Tensor upstream = at::randn({shape.tokens, shape.rows});
  torch::autograd::variable_list inputs = {x};
  const at::Tensor latent_gradient = at::full({shape.rows, shape.low}, 99.0);
  learned.set_gradient_place(part::latents, latent_gradient);
  const auto linear = backend.prepare(frozen, everything, pool);
  linear->begin_step(learned);
  for (const std::string_view name : parts) {
    inputs.push_back(learned[name].requires_grad_(true));
  }
  const at::Tensor y = linear->forward(x, learned);
  PartsResult result{y.detach(), torch::autograd::grad({y}, inputs, {upstream}, std::nullopt, false,
                                                       /*allow_unused=*/true)};
  EXPECT_FALSE(result.gradients.back().defined());  // latents' is written, not handed through
  result.gradients.back() = latent_gradient;
  return result;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return b.numel() == 0 ? 0 : ((a - b).abs().max() / (b.abs().max() + 1e-20)).item<double>();
}

TEST(LearnedParts, CpuBackendEqualsTheReferenceOnAwkwardShapes) {
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  for (const Case& shape : awkward_shapes) {
    const PartsResult fast = run_parts(*cpu_backend(), shape, pool);
    const PartsResult truth = run_parts(*reference_backend(), shape, pool);
    EXPECT_LT(difference(fast.y, truth.y), 2e-6);
    for (size_t i = 0; i < truth.gradients.size(); ++i) {
      EXPECT_LT(difference(fast.gradients[i], truth.gradients[i]), 2e-5)
          << "gradient " << i << ", " << shape.tokens << " tokens, " << shape.rows << " rows";
    }
  }
}

TEST(LearnedParts, ProductsInBfloat16AreNearTheReference) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  ThreadPool pool(2, [] { at::set_num_threads(1); });
  for (const Case& shape : awkward_shapes) {
    const PartsResult rounded = run_parts(*cpu_backend(at::kBFloat16), shape, pool);
    const PartsResult truth = run_parts(*reference_backend(), shape, pool);
    EXPECT_LT(difference(rounded.y, truth.y), 0.03);
    for (size_t i = 0; i < truth.gradients.size(); ++i) {
      EXPECT_LT(difference(rounded.gradients[i], truth.gradients[i]), 0.03)
          << "gradient " << i << ", " << shape.tokens << " tokens, " << shape.rows << " rows";
    }
  }
}

TEST(LearnedParts, BitsDoNotDependOnThreads) {
  const Case shape = {700, 196, 77, 20};
  ThreadPool one(1), four(4, [] { at::set_num_threads(1); });
  const PartsResult a = run_parts(*cpu_backend(), shape, one),
                    b = run_parts(*cpu_backend(), shape, four);
  EXPECT_TRUE(at::equal(a.y, b.y));
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(a.gradients[i], b.gradients[i])) << i;
  }
}

class EveryBackend : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Named, EveryBackend, testing::Values("reference", "cpu"),
                         [](const auto& tested) { return tested.param; });

// One row, y = r1 (alpha (S x^) + mu sum x^), x^ = r2 x: dy/dS_j = r1 alpha r2_j x_j, which reaches
// theta_j unless it is 1.5 or more from 0.
TEST_P(EveryBackend, SignsGoStraightThroughWithinTheWindow) {
  ThreadPool pool(1);
  FrozenLinear frozen = test::random_frozen({1, 1, 5, 0}, 3);
  frozen.signs.reset();
  frozen.row_mean = at::tensor({0.25F});
  const at::Tensor latents = at::tensor({0.F, -0.1F, 1.49F, -1.5F, 2.F}).view({1, 5});
  const at::Tensor latent_gradient = at::empty({1, 5});
  LearnedLinear learned{{part::row_scale, at::tensor({2.0F})},
                        {part::row_gain, at::tensor({3.0F})},
                        {part::col_gain, at::tensor({1.F, 2.F, 1.F, 1.F, 0.5F})},
                        {part::latents, latents}};
  learned.set_gradient_place(part::latents, latent_gradient);
  const at::Tensor x = at::tensor({1.F, 1.F, -1.F, 4.F, 2.F}).view({1, 5});
  const auto linear = make_backend(GetParam())->prepare(frozen, {"latents"}, pool);
  linear->begin_step(learned);
  latents.requires_grad_(true);
  const at::Tensor y = linear->forward(x, learned);
  // x^ = 1 2 -1 4 1, S = + - + - +: S x^ = 1 - 2 - 1 - 4 + 1 = -5, sum x^ = 7.
  EXPECT_FLOAT_EQ(y.item<float>(), 3 * (2 * -5 + 0.25F * 7));
  torch::autograd::grad({y}, {latents}, {at::full({1, 1}, 10.0)}, std::nullopt, false, true);
  const at::Tensor expected = at::tensor({60.F, 120.F, -60.F, 0.F, 0.F}).view({1, 5});
  EXPECT_TRUE(at::allclose(latent_gradient, expected)) << latent_gradient;
}

TEST_P(EveryBackend, MeansAndCodeScalesHaveTheSlopesOfFiniteDifferences) {
  const Case shape = {4, 3, 5, 2};
  ThreadPool pool(1);
  const FrozenLinear frozen = test::random_frozen(shape, 11);
  LearnedLinear learned = random_everything(shape);
  learned.set(part::latents, {});
  const at::Tensor x = at::randn({shape.tokens, 7}), upstream = at::randn({shape.tokens, 3});
  const at::Tensor row_mean = learned[part::row_mean].requires_grad_(true);
  const at::Tensor code_scale = learned[part::code_scale].requires_grad_(true);
  const auto linear =
      make_backend(GetParam())->prepare(frozen, LearnedNames{"row_mean", "code_scale"}, pool);
  const auto slopes =
      torch::autograd::grad({linear->forward(x, learned)}, {row_mean, code_scale}, {upstream});
  const auto objective = [&](const at::Tensor& mean, const at::Tensor& scale) {
    FrozenLinear moved = frozen;
    moved.row_mean = mean;
    moved.code_scale = scale;
    return (test::expected_output(moved, learned, x) * upstream).sum().item<double>();
  };
  constexpr double h = 1e-5;
  for (int64_t i = 0; i < shape.rows; ++i) {
    const at::Tensor mean = row_mean.detach().to(at::kDouble);
    const at::Tensor scale = code_scale.detach().to(at::kDouble);
    at::Tensor step = at::zeros({shape.rows}, at::kDouble);
    step[i] = h;
    const double of_mean =
        (objective(mean + step, scale) - objective(mean - step, scale)) / (2 * h);
    const double of_scale =
        (objective(mean, scale + step) - objective(mean, scale - step)) / (2 * h);
    EXPECT_NEAR(slopes[0][i].item<double>(), of_mean, 1e-4 * (1 + std::abs(of_mean)));
    EXPECT_NEAR(slopes[1][i].item<double>(), of_scale, 1e-4 * (1 + std::abs(of_scale)));
  }
}

}  // namespace
}  // namespace bitmill

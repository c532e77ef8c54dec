// Both backends against a float64 weight built by hand, the cpu backend's gradients against
// autograd through the reference, and the reference's against finite differences.

#include "backend/backend.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "backend/random_linear.hpp"
#include "base/error.hpp"
#include "device/host_product.hpp"
#include "model/one_thread.hpp"

namespace bitmill {
namespace {

using test::Case;

// 0, 1, odd sizes, primes, more tokens than a tile, a real layer.
const std::vector<Case> awkward = {
    {1, 1, 1, 0},     {1, 1, 0, 1},     {3, 5, 7, 2},     {31, 33, 29, 8},     {256, 17, 31, 9},
    {257, 64, 15, 1}, {600, 37, 53, 0}, {300, 11, 0, 13}, {40, 192, 460, 116}, {513, 13, 16, 16}};

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  if (b.numel() == 0) return 0;
  const at::Tensor truth = b.to(at::kDouble);
  const double largest = truth.abs().max().item<double>();
  return (a.to(at::kDouble) - truth).abs().max().item<double>() / (largest > 0 ? largest : 1);
}

constexpr std::array scales = {part::row_scale, part::row_gain, part::col_gain};

// The scales of `learned`, which become leaves.
torch::autograd::variable_list leaves_of(const LearnedLinear& learned) {
  torch::autograd::variable_list leaves;
  for (const std::string_view scale : scales) leaves.push_back(learned[scale].requires_grad_(true));
  return leaves;
}

struct Result {
  at::Tensor y, x, row_scale, row_gain, col_gain;  // output, gradients
};

Result run(const Backend& backend, const Case& shape, ThreadPool& pool) {
  const FrozenLinear frozen = test::random_frozen(shape, 7);
  const LearnedLinear learned = test::random_learned(shape);
  const at::Tensor x = at::randn({shape.tokens, shape.low + shape.salient}).requires_grad_(true);
  const at::Tensor upstream = at::randn({shape.tokens, shape.rows});
  torch::autograd::variable_list inputs = leaves_of(learned);
  inputs.insert(inputs.begin(), x);
  const auto linear = backend.prepare(frozen, {}, pool);
  const at::Tensor y = linear->forward(x, learned);
  EXPECT_LT(relative_difference(y.detach(), test::expected_output(frozen, learned, x)), 2e-6);
  const auto g = torch::autograd::grad({y}, inputs, {upstream});
  return {y.detach(), g[0], g[1], g[2], g[3]};
}

TEST(CpuBackend, OutputAndGradientsEqualTheReferenceOnAwkwardShapes) {
  ThreadPool pool(2);
  for (const Case& shape : awkward) {
    SCOPED_TRACE(testing::Message() << shape.tokens << " tokens, " << shape.rows << " x ("
                                    << shape.low << " + " << shape.salient << ")");
    const Result fast = run(*cpu_backend(), shape, pool);
    const Result truth = run(*reference_backend(), shape, pool);
    EXPECT_LT(relative_difference(fast.y, truth.y), 2e-6);
    EXPECT_LT(relative_difference(fast.x, truth.x), 2e-6);
    EXPECT_LT(relative_difference(fast.row_scale, truth.row_scale), 1e-5);
    EXPECT_LT(relative_difference(fast.row_gain, truth.row_gain), 1e-5);
    EXPECT_LT(relative_difference(fast.col_gain, truth.col_gain), 1e-5);
  }
}

TEST(CpuBackend, BitsDoNotDependOnThreads) {
  const Case shape = {700, 96, 77, 20};
  ThreadPool one(1), four(4);
  const Result a = run(*cpu_backend(), shape, one), b = run(*cpu_backend(), shape, four);
  EXPECT_TRUE(at::equal(a.y, b.y));
  EXPECT_TRUE(at::equal(a.x, b.x));
  EXPECT_TRUE(at::equal(a.row_scale, b.row_scale));
  EXPECT_TRUE(at::equal(a.row_gain, b.row_gain));
  EXPECT_TRUE(at::equal(a.col_gain, b.col_gain));
}

// Each operand and each product is rounded to 8 bits once, so errors are some 2^-8 of the largest.
TEST(CpuBackend, ProductsInBfloat16AreNearTheReferenceOnAwkwardShapes) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  ThreadPool pool(2);
  for (const Case& shape : awkward) {
    SCOPED_TRACE(testing::Message() << shape.tokens << " tokens, " << shape.rows << " x ("
                                    << shape.low << " + " << shape.salient << ")");
    const FrozenLinear frozen = test::random_frozen(shape, 7);
    const LearnedLinear learned = test::random_learned(shape);
    const at::Tensor x = at::randn({shape.tokens, shape.low + shape.salient});
    const auto results = [&](const Backend& backend) {
      torch::autograd::variable_list inputs = leaves_of(learned);
      inputs.push_back(x.clone().requires_grad_(true));
      const auto linear = backend.prepare(frozen, {}, pool);
      const at::Tensor y = linear->forward(inputs.back(), learned);
      torch::autograd::variable_list all = torch::autograd::grad({y.square().sum()}, inputs);
      all.push_back(y.detach());
      return all;
    };
    const auto rounded = results(*cpu_backend(at::kBFloat16)),
               truth = results(*reference_backend());
    for (size_t i = 0; i < truth.size(); ++i) {
      EXPECT_LT(relative_difference(rounded[i], truth[i]), 0.03) << i;
    }
    EXPECT_GT(relative_difference(rounded.back(), truth.back()), 1e-6);  // it was rounded
  }
}

// Whole numbers and powers of two: nothing is rounded, so a scale that went into the codes would
// show.
TEST(CpuBackend, CodesAreExactInBfloat16) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  ThreadPool pool(1);
  FrozenLinear frozen = test::random_frozen({1, 3, 0, 5}, 7);
  frozen.code_scale = at::full({3}, 0.1);
  const LearnedLinear learned = test::random_learned({1, 3, 0, 5});
  const at::Tensor x = at::eye(5);
  const at::Tensor y = cpu_backend(at::kBFloat16)->prepare(frozen, {}, pool)->forward(x, learned);
  const at::Tensor steps = frozen.codes.to(at::kFloat) - frozen.code_zero.unsqueeze(1);
  EXPECT_TRUE(at::equal(y, steps.t() * 0.1F));
}

TEST(CpuBackend, BitsOfBfloat16DoNotDependOnThreads) {
  if (!why_no_bfloat16().empty()) GTEST_SKIP() << why_no_bfloat16();
  const Case shape = {700, 96, 77, 20};
  const FrozenLinear frozen = test::random_frozen(shape, 7);
  const LearnedLinear learned = test::random_learned(shape);
  const at::Tensor x = at::randn({shape.tokens, 97});
  const auto results = [&](int threads) {
    ThreadPool pool(threads, [] { at::set_num_threads(1); });
    torch::autograd::variable_list inputs = leaves_of(learned);
    inputs.push_back(x.clone().requires_grad_(true));
    const auto linear = cpu_backend(at::kBFloat16)->prepare(frozen, {}, pool);
    return torch::autograd::grad({linear->forward(inputs.back(), learned).square().sum()}, inputs);
  };
  const auto one = results(1), four = results(4);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], four[i])) << i;
}

TEST(CpuBackend, InputThatNeedsNoGradientStillGivesTheScalesTheirs) {
  const Case shape = {20, 9, 8, 3};
  ThreadPool pool(1);
  const FrozenLinear frozen = test::random_frozen(shape, 3);
  const LearnedLinear learned = test::random_learned(shape);
  const at::Tensor x = at::randn({shape.tokens, 11});
  const auto gradients = [&](const Backend& backend) {
    const auto leaves = leaves_of(learned);
    const auto linear = backend.prepare(frozen, {}, pool);
    const at::Tensor loss = linear->forward(x, learned).square().sum();
    return torch::autograd::grad({loss}, leaves);
  };
  const auto fast = gradients(*cpu_backend()), truth = gradients(*reference_backend());
  for (size_t i = 0; i < fast.size(); ++i) {
    EXPECT_LT(relative_difference(fast[i], truth[i]), 1e-5) << i;
  }
}

// Central differences of sum(y * upstream) in float64, through the weight built by hand.
TEST(ReferenceBackend, GradientsEqualFiniteDifferencesInFloat64) {
  const Case shape = {4, 3, 5, 2};
  ThreadPool pool(1);
  const FrozenLinear frozen = test::random_frozen(shape, 11);
  const LearnedLinear learned = test::random_learned(shape);
  const at::Tensor x = at::randn({shape.tokens, 7}), upstream = at::randn({shape.tokens, 3});
  const auto objective = [&](const LearnedLinear& at_scales) {
    return (test::expected_output(frozen, at_scales, x) * upstream).sum().item<double>();
  };

  const auto leaves = leaves_of(learned);
  const auto linear = reference_backend()->prepare(frozen, {}, pool);
  const at::Tensor y = linear->forward(x, learned);
  const auto gradients = torch::autograd::grad({y}, leaves, {upstream});

  constexpr double h = 1e-5;
  for (size_t scale = 0; scale < scales.size(); ++scale) {
    const at::Tensor plain = learned[scales[scale]].detach().to(at::kDouble);
    for (int64_t i = 0; i < plain.size(0); ++i) {
      at::Tensor step = at::zeros_like(plain);
      step[i] = h;
      LearnedLinear up = learned, down = learned;
      up.set(scales[scale], plain + step);
      down.set(scales[scale], plain - step);
      const double slope = (objective(up) - objective(down)) / (2 * h);
      EXPECT_NEAR(gradients[scale][i].item<double>(), slope, 1e-4 * (1 + std::abs(slope)));
    }
  }
}

TEST(MakeBackend, NamesAreKnownOrRefused) {
  EXPECT_EQ(make_backend("cpu")->name(), "cpu");
  EXPECT_EQ(make_backend("reference")->name(), "reference");
  EXPECT_THROW(make_backend("cuda"), UsageError);
  EXPECT_THROW(make_backend("tpu"), UsageError);
}

}  // namespace
}  // namespace bitmill

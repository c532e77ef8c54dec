// Coordinate descent on tiny problems, against the error it is to lower.

#include "method/descent.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "model/one_thread.hpp"

namespace bitmill {
namespace {

struct Problem {
  at::Tensor weight, sigma;
  InitialLinear linear;
  ThreadPool pool{2};

  Problem(int64_t rows, int64_t cols, bool learn_signs) {
    at::manual_seed(5);
    weight = at::randn({rows, cols}) + 0.2;
    const at::Tensor mix = at::randn({cols, cols});
    const at::Tensor x = at::mm(at::randn({200, cols}), mix);  // channels that depend on each other
    sigma = at::mm(x.t(), x) / 200;
    MethodSettings settings;
    settings.learned.signs = learn_signs;
    const at::Tensor saliency = at::rand({cols});
    linear = quantize_linear(weight, {saliency.data_ptr<float>(), static_cast<size_t>(cols)},
                             settings, pool);
  }

  void run() {
    descend(weight, {sigma.data_ptr<float>(), static_cast<size_t>(sigma.numel())}, linear, pool);
  }

  at::Tensor signs() const {
    return linear.latents.defined() ? at::where(linear.latents >= 0, at::ones({}), -at::ones({}))
                                    : linear.frozen.signs.to(at::kFloat);
  }

  // tr(E Sigma E^T) with Sigma damped, per row.
  at::Tensor error() const {
    const FrozenLinear& frozen = linear.frozen;
    at::Tensor approximation = at::empty_like(weight);
    approximation.index_copy_(
        1, frozen.low_columns,
        linear.row_scale.unsqueeze(1) * signs() + frozen.row_mean.unsqueeze(1));
    approximation.index_copy_(
        1, frozen.salient_columns,
        frozen.code_scale.unsqueeze(1) * (frozen.codes - frozen.code_zero.unsqueeze(1)));
    const at::Tensor off = (weight - approximation).to(at::kDouble);
    const at::Tensor damped = sigma.to(at::kDouble) + 0.01 *
                                                          sigma.diagonal().mean().item<double>() *
                                                          at::eye(sigma.size(0));
    return (at::mm(off, damped) * off).sum(1);
  }
};

TEST(Descent, LowersTheErrorOfEveryRowByFar) {
  for (const bool learn_signs : {false, true}) {
    Problem problem(37, 29, learn_signs);
    const at::Tensor before = problem.error();
    problem.run();
    const at::Tensor after = problem.error();
    EXPECT_TRUE((after <= before * (1 + 1e-5)).all().item<bool>());
    EXPECT_LT(after.sum().item<double>(), 0.5 * before.sum().item<double>());
  }
}

TEST(Descent, NoSingleSignWouldLowerTheErrorMuch) {
  Problem problem(5, 11, false);
  problem.run();
  problem.run();  // so that alpha and mu hardly move any more
  const at::Tensor best = problem.error();
  const at::Tensor kept = problem.linear.frozen.signs.clone();
  for (int64_t j = 0; j < kept.size(1); ++j) {
    problem.linear.frozen.signs.copy_(kept);
    problem.linear.frozen.signs.select(1, j).neg_();
    EXPECT_TRUE((problem.error() >= best * 0.99).all().item<bool>()) << "sign " << j;
  }
}

TEST(Descent, WeightsOnTheGridStayAsTheyAre) {
  Problem problem(6, 13, false);
  problem.weight.index_copy_(1, problem.linear.frozen.low_columns, 0.5 * problem.signs() + 0.125);
  problem.linear.row_scale.fill_(0.5);
  problem.linear.frozen.row_mean.fill_(0.125);
  problem.weight.index_copy_(
      1, problem.linear.frozen.salient_columns,
      problem.linear.frozen.code_scale.unsqueeze(1) *
          (problem.linear.frozen.codes - problem.linear.frozen.code_zero.unsqueeze(1)));
  const at::Tensor signs = problem.signs(), codes = problem.linear.frozen.codes.clone();
  problem.run();
  EXPECT_TRUE(at::equal(problem.signs(), signs));
  EXPECT_TRUE(at::equal(problem.linear.frozen.codes, codes));
  EXPECT_TRUE(at::allclose(problem.linear.row_scale, at::full({6}, 0.5), 1e-4));
}

TEST(Descent, LatentsOfChangedSignsBeginNearZeroAndOthersStay) {
  Problem problem(37, 29, true);
  const at::Tensor before = problem.linear.latents.clone();
  problem.run();
  const at::Tensor after = problem.linear.latents;
  const at::Tensor changed = (before >= 0) != (after >= 0);
  EXPECT_GT(changed.sum().item<int64_t>(), 0);
  EXPECT_TRUE(at::equal(after.masked_select(~changed), before.masked_select(~changed)));
  EXPECT_TRUE((after.masked_select(changed).abs() == 0.02F).all().item<bool>());
}

TEST(Descent, BitsDoNotDependOnThreadsAndSilentInputsAreNoProblem) {
  Problem a(37, 29, false), b(37, 29, false);
  for (Problem* problem : {&a, &b}) {
    problem->sigma.select(0, 3).zero_();
    problem->sigma.select(1, 3).zero_();
  }
  a.run();
  ThreadPool one(1);
  descend(b.weight, {b.sigma.data_ptr<float>(), static_cast<size_t>(b.sigma.numel())}, b.linear,
          one);
  EXPECT_TRUE(at::equal(a.linear.frozen.signs, b.linear.frozen.signs));
  EXPECT_TRUE(at::equal(a.linear.frozen.codes, b.linear.frozen.codes));
  EXPECT_TRUE(at::equal(a.linear.row_scale, b.linear.row_scale));
  EXPECT_TRUE(at::isfinite(a.linear.row_scale).all().item<bool>());
}

}  // namespace
}  // namespace bitmill

// The gradient of a whole packed model by its factors, against autograd and against differences.

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <string_view>

#include "pipeline/tune_job.hpp"
#include "pipeline/tuning/tuned_model.hpp"

namespace bitmill {
namespace {

TEST_F(Tune, GradientOfTheWholeModelIsAutogradsOnDenseWeights) {
  ThreadPool pool(1);
  const auto device = cpu_device(pool);
  TunedModel whole(*files_, folder_ / "packed", folder_ / "model", *device);
  const at::Tensor factors = whole.some_factors();
  at::Tensor mine;
  whole.run(factors, &mine);
  const at::Tensor theirs = whole.autograd_gradient(factors);
  for (const LearnedSegment& segment : whole.layout().segments()) {
    const at::Tensor a = mine.narrow(0, segment.offset, segment.size);
    const at::Tensor b = theirs.narrow(0, segment.offset, segment.size);
    EXPECT_GT(b.norm().item<float>(), 0);
    EXPECT_LE((a - b).norm().item<float>(), 1e-4F * b.norm().item<float>() + 1e-7F)
        << "linear " << segment.linear << ", " << segment.name;
  }
}

// The gradient of a sign goes to its latent where this is within the window, and is 0 elsewhere.
TEST_F(Tune, GradientOfSignsAndCodeScalesIsAutogradsOnDenseWeights) {
  ThreadPool pool(2);
  const auto device = cpu_device(pool);
  TunedModel whole(*files_, folder_ / "packed", folder_ / "model", *device,
                   {.code_scales = true, .signs = true});
  const at::Tensor trained = whole.some_factors();
  at::Tensor mine;
  whole.run(trained, &mine);
  const at::Tensor theirs = whole.autograd_gradient(trained);
  int outside = 0, latents = 0;
  for (const LearnedSegment& segment : whole.layout().segments()) {
    const at::Tensor a = mine.narrow(0, segment.offset, segment.size);
    at::Tensor b = theirs.narrow(0, segment.offset, segment.size);
    if (segment.large) {
      const at::Tensor inside = trained.narrow(0, segment.offset, segment.size).abs() < 1.5;
      latents += static_cast<int>(segment.size);
      outside += static_cast<int>(segment.size - inside.sum().item<int64_t>());
      b = b * inside;
    }
    EXPECT_GT(b.norm().item<float>(), 0);
    EXPECT_LE((a - b).norm().item<float>(), 1e-4F * b.norm().item<float>() + 1e-7F)
        << "linear " << segment.linear << ", " << segment.name;
  }
  EXPECT_GT(outside, 0);
  EXPECT_LT(outside, latents / 2);
}

// Along the gradient of each kind of factor alone, the loss must rise by that gradient's norm.
TEST_F(Tune, GradientOfTheWholeModelIsTheSlopeOfTheLoss) {
  ThreadPool pool(1);
  const auto device = cpu_device(pool);
  TunedModel whole(*files_, folder_ / "packed", folder_ / "model", *device);
  const at::Tensor factors = whole.some_factors();
  at::Tensor gradient;
  whole.run(factors, &gradient);
  for (const std::string_view kind : {part::row_scale, part::row_gain, part::col_gain}) {
    const at::Tensor direction = at::zeros({gradient.numel()}, at::kDouble);
    for (const LearnedSegment& segment : whole.layout().segments()) {
      if (segment.name != kind) continue;
      direction.narrow(0, segment.offset, segment.size)
          .copy_(gradient.narrow(0, segment.offset, segment.size));
    }
    const double norm = direction.norm().item<double>();
    const auto loss_at = [&](double distance) {
      return whole.run(factors + (direction * distance / norm).to(at::kFloat));
    };
    const auto slope = [&](double h) { return (loss_at(h) - loss_at(-h)) / (2 * h); };
    constexpr double h = 2e-2;
    EXPECT_NEAR((4 * slope(h) - slope(2 * h)) / 3, norm, 0.01 * norm + 1e-5) << kind;
  }
}

}  // namespace
}  // namespace bitmill

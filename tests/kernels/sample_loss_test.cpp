#include "kernels/sample_loss.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/sample_loss_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class SampleLoss : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(SampleLoss, EveryOddShapeIsNearTheFormulasInFloat64InEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_sample_loss<DeviceArray>();
  }
}

TEST_F(SampleLoss, OneTokenByHand) {
  // One target: error ((3 - 4)^2 + (4 - 3)^2) / 2 = 1, cosine 24 / 25.
  const LossCase problem{float32, float32, 1, 2, 1, 0, false, {3, 4}, {4, 3}, {0, 0}};
  const LossOut got = loss_on_device<DeviceArray>(problem);
  EXPECT_NEAR(got.loss, 1 - std::log(0.96), 1e-6);
  // -1 + ... : d error = (-1, 1); d cosine = (4, 3) / 25 - 0.96 (3, 4) / 25 = (0.0448, -0.0336).
  EXPECT_NEAR(got.gradient[0], -1 - 0.0448 / 0.96, 1e-6);
  EXPECT_NEAR(got.gradient[1], 1 + 0.0336 / 0.96, 1e-6);
}

TEST_F(SampleLoss, GradientOfTheReferenceIsTheSlopeOfItsLoss) {
  for (const bool relative : {false, true}) {
    const LossCase problem = make_loss_case(float32, float32, 3, 5, 1, 0.5F, relative);
    std::vector<double> y(problem.student.begin(), problem.student.end()), gradient, unused;
    loss_reference(problem, y, gradient);
    for (size_t i = 0; i < y.size(); ++i) {
      const double step = 1e-5 * (std::abs(y[i]) + 1), before = y[i];
      y[i] = before + step;
      const double above = loss_reference(problem, y, unused);
      y[i] = before - step;
      const double below = loss_reference(problem, y, unused);
      y[i] = before;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * step), 1e-6 * (std::abs(gradient[i]) + 1));
    }
  }
}

TEST_F(SampleLoss, TheSameEveryTime) {
  const LossCase problem = make_loss_case(float32, float32, 50, 700);
  const LossOut once = loss_on_device<DeviceArray>(problem);
  emulation::settings().seed = 9;
  const LossOut again = loss_on_device<DeviceArray>(problem);
  EXPECT_EQ(once.loss, again.loss);
  EXPECT_EQ(once.gradient, again.gradient);
}

TEST_F(SampleLoss, ATokenOfZerosHasACosineOfZero) {
  LossCase problem = make_loss_case(float32, float32, 2, 4, 1, 0);
  std::fill_n(problem.student.begin() + 4, 4, 0.0F);
  std::fill_n(problem.normal.begin() + 4, 4, 0.0F);
  check_loss<DeviceArray>(problem);
}

TEST_F(SampleLoss, ATargetThatIsMissingIsRefused) {
  kernels::SampleLoss task{};
  task.tokens = task.hidden = 1;
  task.normal_weight = 1;
  EXPECT_EQ(kernels::sample_loss(task, nullptr), kernels::cudaErrorInvalidValue);
  EXPECT_EQ(kernels::sample_loss_gradient(task, nullptr, nullptr), kernels::cudaErrorInvalidValue);
}

// Two passes over the student and both targets; the gradient is written once, and so are the sums
// and coefficients. Sums are read twice.
TEST_F(SampleLoss, SectorsOfARealModelAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const int64_t tokens = 16, hidden = 4096;
    const LossCase problem = make_loss_case(element, element, tokens, hidden);
    const int64_t all = tokens * hidden * kernels::bytes_of(element);
    expect_few_sectors([&] { loss_on_device<DeviceArray>(problem); },
                       {all, all, all, all, all, all, all, tokens * 32, tokens * 32, tokens * 32,
                        tokens * 16, tokens * 16});
  }
}

}  // namespace
}  // namespace bitmill

#include "kernels/rms_norm.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/rms_norm_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class RmsNorm : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(RmsNorm, EveryOddShapeIsNearTheFormulasInFloat64InEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_norm<DeviceArray>();
  }
}

TEST_F(RmsNorm, OneTokenByHand) {
  // The mean square of (1, 7) is 25. d y = (1, 0) and weight 5: a = (5, 0), mean of a x = 2.5.
  const NormCase problem{float32, float32, 1, 2, true, {1, 7}, {5, 10}, {1, 0}};
  const NormOut got = norm_on_device<DeviceArray>(problem);
  EXPECT_NEAR(got.y[0], 1, 1e-5);
  EXPECT_NEAR(got.y[1], 14, 1e-5);
  EXPECT_NEAR(got.of_x[0], (5 - 1.0 / 25 * 2.5) / 5, 1e-5);
  EXPECT_NEAR(got.of_x[1], (0 - 7.0 / 25 * 2.5) / 5, 1e-5);
}

TEST_F(RmsNorm, GradientOfTheReferenceIsTheSlopeOfItsOutput) {
  NormCase problem = make_norm_case(float32, float32, 1, 6);
  const auto value = [&] {  // the sum of dy * y
    std::vector<double> y, unused;
    norm_reference(problem, 0, y, unused);
    double sum = 0;
    for (size_t j = 0; j < y.size(); ++j) sum += y[j] * problem.gradient[j];
    return sum;
  };
  std::vector<double> unused, gradient;
  norm_reference(problem, 0, unused, gradient);
  for (size_t j = 0; j < gradient.size(); ++j) {
    const float before = problem.x[j], step = 1.0F / 1024;
    problem.x[j] = before + step;
    const double above = value();
    problem.x[j] = before - step;
    const double below = value();
    problem.x[j] = before;
    EXPECT_NEAR(gradient[j], (above - below) * 512, 1e-4);
  }
}

TEST_F(RmsNorm, ANegativeSizeIsRefused) {
  kernels::RmsNorm task{};
  task.tokens = 1;
  task.hidden = -1;
  EXPECT_EQ(kernels::rms_norm(task, nullptr), kernels::cudaErrorInvalidValue);
}

TEST_F(RmsNorm, ATokenLongerThanWhatIsKeptIsNearTheFormulasInFloat64) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_long_norm<DeviceArray>();
  }
}

// x twice, y and its gradient once, dx once. The weight is counted for each token, twice: the
// emulator has no cache, and in that of a GPU 16 KB stay.
TEST_F(RmsNorm, SectorsOfARealModelAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const int64_t tokens = 8, hidden = 4096;
    const NormCase problem = make_norm_case(element, element, tokens, hidden);
    const int64_t all = tokens * hidden * kernels::bytes_of(element);
    expect_few_sectors([&] { norm_on_device<DeviceArray>(problem); },
                       {all, all, all, all, all, tokens * hidden * 4, tokens * hidden * 4,
                        tokens * 4, tokens * 4});
  }
}

// Forward x is read again beyond what is kept, backward both x and dy, and the weight wherever they
// are loaded.
TEST_F(RmsNorm, SectorsOfALongTokenAreThoseOfTheHeader) {
  const int64_t hidden = kernels::kept_rms_norm + 4096, half = kernels::kept_rms_norm / 2;
  const NormCase problem = make_norm_case(bfloat16, bfloat16, 1, hidden);
  const int64_t once = 2 * hidden, forward = once + 2 * 4096, backward = once + 2 * (hidden - half);
  expect_few_sectors([&] { norm_on_device<DeviceArray>(problem); },
                     {forward, once, 4 * hidden, backward, backward, once,
                      4 * hidden + 4 * (hidden - half), 4, 4});
}

}  // namespace
}  // namespace bitmill

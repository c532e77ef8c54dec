#include "kernels/adamw.hpp"

#include <gtest/gtest.h>

#include "kernels/adamw_checks.hpp"
#include "kernels/counted_sectors.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

class AdamWKernel : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(AdamWKernel, EveryOddShapeHasTheBitsOfTheLoopOfMethodInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_adamw<DeviceArray>();
  }
}

TEST_F(AdamWKernel, OneElementByHand) {
  // Step 1: moments 0.1 g and 0.001 g^2 over 0.1 and 0.001 are g and g^2, so the value moves by the
  // rate. The second element is outside of its window and stays.
  AdamWCase problem;
  problem.pieces = {{0, 1, 0, 0.5}, {1, 1, 1.5F, 0.5}};
  problem.gradients = {{4, 4}};
  problem.state = {{0, 0}, {0, 0}, {1, 1.5F}};
  problem.steps = 1;
  problem.factor = 1;
  const AdamWState got = adamw_on_device<DeviceArray>(problem);
  EXPECT_NEAR(got.value[0], 0.5F, 1e-6);
  EXPECT_NEAR(got.first[0], 0.4F, 1e-6);
  EXPECT_EQ(got.value[1], 1.5F);
  EXPECT_EQ(got.first[1], 0);
}

TEST_F(AdamWKernel, WindowTakesAwayWhatIsNotANumber) {
  AdamWCase problem;
  problem.pieces = {{0, 1, 1.5F, 0.5}};
  problem.gradients = {{NAN}};
  problem.state = {{0}, {0}, {2}};
  EXPECT_EQ(adamw_on_device<DeviceArray>(problem).value, std::vector<float>{2});
}

TEST_F(AdamWKernel, NegativeCountIsRefused) {
  kernels::AdamWSlice task{};
  task.piece_count = -1;
  EXPECT_EQ(kernels::adamw(task, nullptr), kernels::cudaErrorInvalidValue);
}

// Four arrays are read once, three written once; a piece is read once.
TEST_F(AdamWKernel, SectorsOfALayerAreWithinATwentiethOfTheMinimum) {
  const AdamWCase problem = make_adamw_case({64 * 1024, 512}, 1);
  const int64_t bytes = (64 * 1024 + 512) * 4;
  expect_few_sectors(
      [&] { adamw_on_device<DeviceArray>(problem); },
      {bytes, bytes, bytes, bytes, bytes, bytes, bytes, std::ssize(problem.pieces) * 24});
}

}  // namespace
}  // namespace bitmill

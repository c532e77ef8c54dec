// How often the emulator switches stacks: most of what a block costs, and the same on every
// machine.

#include <gtest/gtest.h>

#include <vector>

#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/summing_kernels.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using kernels::launch;

constexpr unsigned blocks = 8;

TEST(Switches, AKernelWithoutCollectivesNeedsNone) {
  const DeviceArray<float> x(std::vector<float>(blocks * 256, 1.0F), "x"), out(blocks * 256, "out");
  launch(emulation::scale, {{blocks}, {256}}, nullptr, x.data(), out.data());
  EXPECT_EQ(emulation::switches_of_last_grid(), 0U);
  EXPECT_EQ(out.to_host(), std::vector<float>(blocks * 256, 2.0F));
}

TEST(Switches, AThreadLeavesAndComesBackAtMostOnceForEachCollective) {
  const DeviceArray<float> x(std::vector<float>(blocks * 256, 1.0F), "x"), out(blocks, "out");
  launch(emulation::sum_block, {{blocks}, {256}}, nullptr, x.data(), out.data());
  const uint64_t switches = emulation::switches_of_last_grid();
  EXPECT_GE(switches, uint64_t{blocks} * 256);
  EXPECT_LE(switches, uint64_t{blocks} * 256 * 12 * 2);
  EXPECT_EQ(out.to_host(), std::vector<float>(blocks, 256.0F));
}

}  // namespace
}  // namespace bitmill

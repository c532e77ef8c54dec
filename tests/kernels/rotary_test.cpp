#include "kernels/rotary.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/rotary_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class RotaryKernel : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(RotaryKernel, EveryOddShapeHasTheBitsOfThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_rotary<DeviceArray>();
  }
}

// A quarter turn: (1, 2) becomes (-2, 1), and back.
TEST_F(RotaryKernel, AQuarterTurnByHand) {
  RotaryCase problem{float32, 1, 1, 2, false, {1, 2}, {0, NAN}, {1, NAN}};
  EXPECT_EQ(rotary_on_device<DeviceArray>(problem), (std::vector<float>{-2, 1}));
  problem.x = {-2, 1};
  problem.back = true;
  EXPECT_EQ(rotary_on_device<DeviceArray>(problem), (std::vector<float>{1, 2}));
}

TEST_F(RotaryKernel, HeadsThatAreOddOrTooWideAreRefused) {
  for (const int64_t head_dim : {int64_t{3}, kernels::largest_rotary_head + 2, int64_t{-2}}) {
    EXPECT_EQ(kernels::rotate({nullptr, nullptr, nullptr, nullptr, 1, 1, head_dim, false, float32},
                              nullptr),
              kernels::cudaErrorInvalidValue)
        << head_dim;
  }
}

// x is read, y is written, and half of both tables is read.
TEST_F(RotaryKernel, SectorsAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const RotaryCase problem = make_rotary_case(element, 4, 24, 128, false);
    const int64_t all = 4 * 24 * 128 * kernels::bytes_of(element), table = 4 * 64 * 4;
    expect_few_sectors([&] { rotary_on_device<DeviceArray>(problem); }, {all, all, table, table});
  }
}

}  // namespace
}  // namespace bitmill

#include "kernels/combine.hpp"

#include <gtest/gtest.h>

#include "kernels/combine_checks.hpp"
#include "kernels/counted_sectors.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class Combine : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(Combine, EveryOddShapeHasTheBitsOfTheCpuBackendInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_combine<DeviceArray>();
  }
}

TEST_F(Combine, TwoTokensByHand) {
  const CombineCase problem{float32, 2, 1, {3, 4}, {5, 6}, {10, 20}, {2}, {7}, {100}};
  EXPECT_EQ(combine_on_device<DeviceArray>(problem), (std::vector<float>{576, 748}));
}

TEST_F(Combine, NegativeSizeIsRefused) {
  kernels::Combine task{};
  task.rows = -1;
  EXPECT_EQ(kernels::combine(task, nullptr), kernels::cudaErrorInvalidValue);
}

// u, w, v and the three factors are read once, y written once.
TEST_F(Combine, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const int64_t tokens = 128, rows = 2048, size = kernels::bytes_of(element);
    const CombineCase problem = make_combine_case(element, tokens, rows);
    expect_few_sectors([&] { combine_on_device<DeviceArray>(problem); },
                       {tokens * rows * size, tokens * rows * size, tokens * rows * size,
                        tokens * 4, rows * 4, rows * 4, rows * 4});
  }
}

}  // namespace
}  // namespace bitmill

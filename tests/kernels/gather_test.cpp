#include "kernels/gather.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/gather_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class Gather : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(Gather, EveryOddShapeEqualsTheLoopOfTheCpuBackendInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_gather<DeviceArray>();
  }
}

TEST_F(Gather, OneTokenByHand) {
  // Columns 0 and 2 are low with gains 2 and 3; column 1 is salient.
  GatherCase problem = make_gather_case(float32, 1, 3);
  problem.columns.mask = {0b010};
  problem.columns.low_before = kernels::count_low_before(problem.columns.mask);
  problem.columns.low_columns = {0, 2};
  problem.columns.salient_columns = {1};
  problem.more_padding = 0;
  problem.x = {5, 7, -1};
  problem.col_gain = {2, 3};
  const Gathered got = gather_on_device<DeviceArray>(problem);
  std::vector<float> low(16, 0), salient(16, 0);
  low[0] = 10;
  low[1] = -3;
  salient[0] = 7;
  EXPECT_EQ(got.low, low);
  EXPECT_EQ(got.salient, salient);
  EXPECT_EQ(got.low_sum, std::vector<float>{7});
}

TEST_F(Gather, TheSumIsOfRoundedValues) {
  GatherCase problem = make_gather_case(bfloat16, 1, 2, SaliencyPattern::none);
  problem.x = {1, 1};
  problem.col_gain = {1.00390625F, 1};  // halfway between two bfloat16 numbers: the even one is 1
  EXPECT_EQ(gather_on_device<DeviceArray>(problem).low_sum, std::vector<float>{2});
}

TEST_F(Gather, StrideThatIsNoOperandsIsRefused) {
  kernels::Gather task{};
  task.split = {nullptr, nullptr, 40, 40};
  task.element = float32;
  for (const int64_t stride : {32, 40, 112}) {
    task.low_stride = stride;
    EXPECT_EQ(kernels::gather(task, nullptr), kernels::cudaErrorInvalidValue) << stride;
  }
  task.low_stride = 48;
  EXPECT_EQ(kernels::gather(task, nullptr), kernels::cudaSuccess);  // no tokens
}

// x, masks and gains are read once, operands and sums written once.
TEST_F(Gather, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const GatherCase problem = make_gather_case(element, 64, 4096);
    const int64_t size = kernels::bytes_of(element);
    const int64_t operands = problem.tokens * (problem.low_stride() + problem.salient_stride());
    expect_few_sectors([&] { gather_on_device<DeviceArray>(problem); },
                       {problem.tokens * 4096 * size, operands * size, problem.tokens * 4 * 4,
                        problem.columns.low() * 4, 4096 / 32 * 4 * 2});
  }
}

}  // namespace
}  // namespace bitmill

#include "kernels/unpack_weight.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/unpack_weight_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class UnpackWeight : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(UnpackWeight, EveryOddShapeEqualsThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_unpack_weight<DeviceArray>();
  }
}

// Columns: low, salient, low. Row scale 2, mean 1/2, gains 3 and 4; codes in steps of 1/4.
TEST_F(UnpackWeight, OneRowByHand) {
  UnpackCase problem = make_unpack_case(float32, 1, 3, SaliencyPattern::some);
  ASSERT_EQ(problem.columns.low(), 3);
  problem.columns.mask = {0b010};
  problem.columns.low_before = {0};
  problem.columns.low_columns = {0, 2};
  problem.columns.salient_columns = {1};
  problem.signs = {float32, 1, 2, 16, {1, -1}};
  problem.codes = {float32, 1, 1, 16, {9}, {3}};
  problem.row_scale = {2};
  problem.row_mean = {0.5F};
  problem.code_scale = {0.25F};
  problem.col_gain = {3, 4};
  EXPECT_EQ(unpacked_on_device<DeviceArray>(problem), (std::vector<float>{7.5F, 1.5F, -6}));
}

TEST_F(UnpackWeight, SizesThatAreNotAsSaidAreRefused) {
  kernels::UnpackWeight task{};
  task.rows = -1;
  EXPECT_EQ(kernels::unpack_weight(task, nullptr), kernels::cudaErrorInvalidValue);
  task.rows = 1;
  task.split.low = 1;  // of no columns
  EXPECT_EQ(kernels::unpack_weight(task, nullptr), kernels::cudaErrorInvalidValue);
}

// Everything is read once, the weight is written once.
TEST_F(UnpackWeight, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    const UnpackCase problem = make_unpack_case(element, 64, 4096, SaliencyPattern::some);
    const int64_t floats = sizeof(float);
    expect_few_sectors(
        [&] { unpacked_on_device<DeviceArray>(problem); },
        {std::ssize(problem.signs.words()) * floats, std::ssize(problem.codes.words()) * floats,
         128 * floats, 128 * floats, 4 * 64 * floats, problem.columns.low() * floats,
         64 * 4096 * kernels::bytes_of(element)});
  }
}

}  // namespace
}  // namespace bitmill

#include "kernels/row_values.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/row_values_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

class RowValues : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(RowValues, EveryOddShapeEqualsThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_row_values<DeviceArray>();
  }
}

// Low: 1, 0 (left out), -3; salient: 6. The range -3 .. 6 has steps of 0.6, and 5 steps below 0.
TEST_F(RowValues, OneRowByHand) {
  RowsCase problem = make_rows_case(1, 4, SaliencyPattern::none, false, false);
  problem.weight = {1, 0, -3, 6};
  problem.columns.mask = {0b1000};
  const RowResults found = row_values_on_device<DeviceArray>(problem);
  EXPECT_EQ(found[0], std::vector<float>{-1});
  EXPECT_EQ(found[1], std::vector<float>{2});
  EXPECT_EQ(found[2], std::vector<float>{2});
  EXPECT_EQ(found[3], std::vector<float>{0.6F});
  EXPECT_EQ(found[4], std::vector<float>{5});
}

TEST_F(RowValues, ARowWithoutLowWeightsHasMeansOfZeroAndOneWithoutARangeThatOfOne) {
  RowsCase problem = make_rows_case(1, 3, SaliencyPattern::none, true, true);
  problem.weight = {0, 0, 0};
  const RowResults found = row_values_on_device<DeviceArray>(problem);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(found[i], std::vector<float>{0}) << i;
  EXPECT_EQ(found[3], std::vector<float>{2.0F / 15.0F});
  EXPECT_EQ(found[4], std::vector<float>{7});  // 1 / scale is a little below 7.5
}

TEST_F(RowValues, SizesThatAreNotAsSaidAreRefused) {
  kernels::RowValues task{};
  task.rows = -1;
  EXPECT_EQ(kernels::row_values(task, nullptr), kernels::cudaErrorInvalidValue);
  task.rows = 1;
  task.cols = -1;
  EXPECT_EQ(kernels::row_values(task, nullptr), kernels::cudaErrorInvalidValue);
}

// The weight and the mask are read twice (deviations need the mean), importances once.
TEST_F(RowValues, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  const RowsCase problem = make_rows_case(64, 4096, SaliencyPattern::some, true, false);
  const int64_t weight = 64 * 4096 * 4, mask = 128 * 4;
  expect_few_sectors([&] { row_values_on_device<DeviceArray>(problem); },
                     {weight, weight, mask, mask, 4096 * 4, 5 * 64 * 4});
}

}  // namespace
}  // namespace bitmill

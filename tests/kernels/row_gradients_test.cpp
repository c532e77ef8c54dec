#include "kernels/row_gradients.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/row_gradients_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

class RowGradients : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(RowGradients, EveryOddShapeHasTheBitsOfThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_row_gradients<DeviceArray>();
  }
}

TEST_F(RowGradients, OneRowByHand) {
  const RowGradientsCase problem{2, 1, true, true, {1, 2}, {3, 4}, {5, 6}, {10}, {100}, {1000}};
  const RowGradientsOut got = row_gradients_on_device<DeviceArray>(problem);
  EXPECT_EQ(got.row_scale, std::vector<float>{300});
  EXPECT_EQ(got.row_gain, std::vector<float>{30 + 7000});
  EXPECT_EQ(got.row_mean, std::vector<float>{700});
  EXPECT_EQ(got.code_scale, std::vector<float>{11});
}

TEST_F(RowGradients, CodeScaleWithoutItsSumIsRefused) {
  float place = 0;
  kernels::RowGradients task{};
  task.tiles = 1;
  task.of_code_scale = &place;
  EXPECT_EQ(kernels::row_gradients(task, nullptr), kernels::cudaErrorInvalidValue);
}

TEST_F(RowGradients, SectorsAreWithinATwentiethOfTheMinimum) {
  const RowGradientsCase problem = make_row_gradients_case(32, 4096);
  const int64_t table = 32 * 4096 * 4, row = 4096 * 4;
  expect_few_sectors([&] { row_gradients_on_device<DeviceArray>(problem); },
                     {table, table, table, row, row, row, row, row, row, row});
}

}  // namespace
}  // namespace bitmill

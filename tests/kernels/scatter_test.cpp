#include "kernels/scatter.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/scatter_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class Scatter : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(Scatter, EveryOddShapeEqualsTheLoopOfTheCpuBackendInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_scatter<DeviceArray>();
  }
}

TEST_F(Scatter, TwoTokensByHand) {
  // Columns 0 and 2 are low with gains 2 and 3; column 1 is salient.
  ScatterCase problem = make_scatter_case(float32, 2, 3);
  problem.columns.mask = {0b010};
  problem.columns.low_before = kernels::count_low_before(problem.columns.mask);
  problem.columns.low_columns = {0, 2};
  problem.columns.salient_columns = {1};
  problem.x = {5, 7, -1, 1, 1, 1};
  problem.mean_gradient = {10, 0};
  problem.col_gain = {2, 3};
  problem.low_product.assign(2 * problem.low_stride(), 0);
  problem.low_product[0] = 1;                         // d = 11 and 10
  problem.low_product[problem.low_stride() + 1] = 4;  // d = 0 and 4
  problem.salient_product.assign(2 * problem.salient_stride(), 0);
  problem.salient_product[0] = 8;
  const Scattered got = scatter_on_device<DeviceArray>(problem);
  EXPECT_EQ(got.x_gradient, (std::vector<float>{22, 8, 30, 0, 0, 12}));
  EXPECT_EQ(got.col_gain_sum, (std::vector<float>{55, -6}));
}

TEST_F(Scatter, StrideThatIsNoOperandsIsRefused) {
  kernels::Scatter task{};
  task.split = {nullptr, nullptr, 41, 40};
  task.low_stride = 48;
  EXPECT_EQ(kernels::scatter(task, nullptr), kernels::cudaSuccess);  // no tokens
  int anything = 0;
  task.x_gradient = &anything;  // now the salient product is read too
  EXPECT_EQ(kernels::scatter(task, nullptr), kernels::cudaErrorInvalidValue);
}

// x, both products, masks, gains and means are read once; dx and the table written once.
TEST_F(Scatter, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const bool x_gradient : {true, false}) {
      ScatterCase problem = make_scatter_case(element, 64, 4096);
      problem.x_gradient = x_gradient;
      const int64_t size = kernels::bytes_of(element), low = problem.columns.low();
      const int64_t products = x_gradient ? 4096 : low;
      expect_few_sectors(
          [&] { scatter_on_device<DeviceArray>(problem); },
          {64 * 4096 * size, 64 * products * size, 64 * (x_gradient ? 4096 : 0) * size, 64 * 4,
           low * 4, low * 4, 4096 / 32 * 4 * 2});
    }
  }
}

}  // namespace
}  // namespace bitmill

#include "kernels/split_gradient.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/split_gradient_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using enum kernels::Element;

class SplitGradient : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(SplitGradient, EveryOddShapeEqualsTheLoopsOfTheCpuBackendInEveryOrder) {
  for (const uint64_t seed : {1, 2}) {
    emulation::settings().seed = seed;
    check_all_of_split<DeviceArray>();
  }
}

TEST_F(SplitGradient, OneTokenByHand) {
  SplitCase problem = make_split_case(float32, 1, 2);
  problem.gradient = {2, 3};
  problem.low_product = {10, 20};
  problem.salient_product = {1, -1};
  problem.low_sum = {100};
  problem.row_factor = {5, 7};
  problem.mean_factor = {1, 10};
  problem.code_scale = {0.5F, 0.25F};
  const Split got = split_on_device<DeviceArray>(problem);
  EXPECT_EQ(got.low_gradient, (std::vector<float>{10, 21}));
  EXPECT_EQ(got.salient_gradient, (std::vector<float>{1, 0.75F}));
  EXPECT_EQ(got.mean_gradient, std::vector<float>{32});
  EXPECT_EQ(got.scale_sum, (std::vector<float>{20, 60}));
  EXPECT_EQ(got.mean_sum, (std::vector<float>{200, 300}));
  EXPECT_EQ(got.code_scale_sum, (std::vector<float>{2, -3}));
}

TEST_F(SplitGradient, TermsOfATileAreAddedInTheOrderOfItsTokens) {
  SplitCase problem = make_split_case(float32, 3, 1);
  problem.gradient = {1e8F, -1e8F, 1};
  problem.low_product = {1, 1, 1};
  EXPECT_EQ(split_on_device<DeviceArray>(problem).scale_sum, std::vector<float>{1});
}

TEST_F(SplitGradient, NegativeSizeIsRefused) {
  kernels::SplitGradient task{};
  task.tokens = -1;
  EXPECT_EQ(kernels::split_gradient(task, nullptr), kernels::cudaErrorInvalidValue);
}

// Everything that comes in is read once, everything that goes out written once.
TEST_F(SplitGradient, SectorsOfARealLayerAreWithinATwentiethOfTheMinimum) {
  const int64_t tokens = 128, rows = 2048;
  for (const kernels::Element element : {float32, bfloat16}) {
    for (const bool codes : {false, true}) {
      const SplitCase problem = make_split_case(element, tokens, rows, true, codes);
      const int64_t all = tokens * rows * kernels::bytes_of(element), table = 2 * rows * 4;
      expect_few_sectors([&] { split_on_device<DeviceArray>(problem); },
                         {all, all, codes ? all : 0, tokens * 4, rows * 4, rows * 4, rows * 4, all,
                          all, rows / 512 * tokens * 4, table, table, codes ? table : 0});
    }
  }
}

}  // namespace
}  // namespace bitmill

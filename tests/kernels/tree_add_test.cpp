#include "kernels/tree_add.hpp"

#include <gtest/gtest.h>

#include "kernels/counted_sectors.hpp"
#include "kernels/tree_add_checks.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

class TreeAdd : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(TreeAdd, EveryOddShapeHasTheBitsOfTheTreeInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_tree_add<DeviceArray>();
  }
}

TEST_F(TreeAdd, NeighboursAreAddedFirst) {
  // The 1 is lost in -1e8. From left to right it would be left over.
  EXPECT_EQ(tree_add_on_device<DeviceArray>({{0}, {1e8F}, {-1e8F}, {1}}, false),
            std::vector<float>{0});
  EXPECT_EQ(tree_add_on_device<DeviceArray>({{0}, {1e8F}, {-1e8F}, {1}, {5}}, false),
            std::vector<float>{5});
}

TEST_F(TreeAdd, CountsThatAreNoSumAreRefused) {
  kernels::TreeAdd task{};
  for (const int32_t count : {-1, 0, 1, 9}) {
    task.count = count;
    EXPECT_EQ(kernels::tree_add(task, nullptr), kernels::cudaErrorInvalidValue) << count;
  }
}

TEST_F(TreeAdd, SectorsAreWithinATwentiethOfTheMinimum) {
  for (const int count : {2, 5, 8}) {
    const auto units = make_tree_units(count, 20'000);
    std::vector<int64_t> arrays(count + 1, 20'000 * 4);
    expect_few_sectors([&] { tree_add_on_device<DeviceArray>(units, false); }, arrays);
  }
}

}  // namespace
}  // namespace bitmill

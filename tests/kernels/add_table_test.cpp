#include "kernels/add_table.hpp"

#include <gtest/gtest.h>

#include "kernels/add_table_checks.hpp"
#include "kernels/counted_sectors.hpp"
#include "tests/emulation/block/device_memory.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;

class AddTables : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

TEST_F(AddTables, EveryOddShapeEqualsThePlainLoopInEveryOrder) {
  for (const uint64_t seed : {1, 2, 3}) {
    emulation::settings().seed = seed;
    check_all_of_add_tables<DeviceArray>();
  }
}

TEST_F(AddTables, RowsAreAddedInTheirOrder) {
  // From left to right; any other order loses the 1.
  const TableCase problem{3, 1, {1e8F, -1e8F, 1}};
  EXPECT_EQ(add_tables_on_device<DeviceArray>({problem})[0], std::vector<float>{1});
}

TEST_F(AddTables, MoreTablesThanThereIsRoomForAreRefused) {
  kernels::AddTables task{};
  task.count = kernels::most_tables + 1;
  EXPECT_EQ(kernels::add_tables(task, nullptr), kernels::cudaErrorInvalidValue);
}

TEST_F(AddTables, SectorsAreWithinATwentiethOfTheMinimum) {
  const std::vector<TableCase> problems{make_table_case(32, 8192), make_table_case(32, 2048)};
  expect_few_sectors([&] { add_tables_on_device<DeviceArray>(problems); },
                     {32 * 8192 * 4, 32 * 2048 * 4, 8192 * 4, 2048 * 4});
}

}  // namespace
}  // namespace bitmill

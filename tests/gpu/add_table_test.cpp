#include "kernels/add_table.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/add_table_checks.hpp"

namespace bitmill {
namespace {

TEST(AddTablesOnGpu, EveryOddShapeEqualsThePlainLoop) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_add_tables<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

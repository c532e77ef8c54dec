#include "kernels/row_values.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/row_values_checks.hpp"

namespace bitmill {
namespace {

TEST(RowValuesOnGpu, EveryOddShapeEqualsThePlainLoop) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_row_values<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

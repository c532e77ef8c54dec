#include "kernels/operands.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/operands_checks.hpp"

namespace bitmill {
namespace {

TEST(OperandsOnGpu, EveryOddShapeEqualsThePlainLoops) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_operands<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

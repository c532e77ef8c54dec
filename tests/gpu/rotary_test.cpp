#include "kernels/rotary.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/rotary_checks.hpp"

namespace bitmill {
namespace {

TEST(RotaryOnGpu, EveryOddShapeHasTheBitsOfThePlainLoop) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_rotary<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

#include "kernels/adamw.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/adamw_checks.hpp"

namespace bitmill {
namespace {

TEST(AdamWOnGpu, EveryOddShapeHasTheBitsOfTheLoopOfMethod) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_adamw<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

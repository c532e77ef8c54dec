#include "kernels/pack_values.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/pack_values_checks.hpp"

namespace bitmill {
namespace {

TEST(PackValuesOnGpu, EveryOddShapeEqualsThePlainLoops) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_pack_values<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

#include "kernels/gather.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/gather_checks.hpp"

namespace bitmill {
namespace {

TEST(GatherOnGpu, EveryOddShapeEqualsTheLoopOfTheCpuBackend) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_gather<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

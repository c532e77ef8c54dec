#include "kernels/split_gradient.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/split_gradient_checks.hpp"

namespace bitmill {
namespace {

TEST(SplitGradientOnGpu, EveryOddShapeEqualsTheLoopsOfTheCpuBackend) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_split<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

#include "kernels/scatter.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/scatter_checks.hpp"

namespace bitmill {
namespace {

TEST(ScatterOnGpu, EveryOddShapeEqualsTheLoopOfTheCpuBackend) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_scatter<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

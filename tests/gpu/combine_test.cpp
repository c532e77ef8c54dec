#include "kernels/combine.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/combine_checks.hpp"

namespace bitmill {
namespace {

TEST(CombineOnGpu, EveryOddShapeHasTheBitsOfTheCpuBackend) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_combine<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

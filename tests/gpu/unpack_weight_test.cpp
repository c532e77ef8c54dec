#include "kernels/unpack_weight.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/unpack_weight_checks.hpp"

namespace bitmill {
namespace {

TEST(UnpackWeightOnGpu, EveryOddShapeEqualsThePlainLoop) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_unpack_weight<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

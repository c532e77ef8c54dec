#include "kernels/rms_norm.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/rms_norm_checks.hpp"

namespace bitmill {
namespace {

TEST(RmsNormOnGpu, EveryOddShapeIsNearTheFormulasInFloat64) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_norm<DeviceArray>();
  check_long_norm<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

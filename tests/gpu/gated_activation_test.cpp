#include "kernels/gated_activation.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/gated_activation_checks.hpp"

namespace bitmill {
namespace {

TEST(GatedActivationOnGpu, EveryOddShapeIsNearTheFormulasInFloat64) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_activation<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/linear_step_checks.hpp"

namespace bitmill {
namespace {

TEST(LinearStepOnGpu, OutputAndAllGradientsAreThoseOfTheWeightThatItStandsFor) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_linear_steps<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

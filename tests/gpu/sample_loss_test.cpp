#include "kernels/sample_loss.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/sample_loss_checks.hpp"

namespace bitmill {
namespace {

TEST(SampleLossOnGpu, EveryOddShapeIsNearTheFormulasInFloat64) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_sample_loss<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

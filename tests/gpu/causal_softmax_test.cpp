#include "kernels/causal_softmax.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/causal_softmax_checks.hpp"

namespace bitmill {
namespace {

TEST(CausalSoftmaxOnGpu, EveryOddShapeIsNearTheFormulasInFloat64) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_softmax<DeviceArray>();
  check_long_softmax<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

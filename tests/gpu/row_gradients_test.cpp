#include "kernels/row_gradients.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/row_gradients_checks.hpp"

namespace bitmill {
namespace {

TEST(RowGradientsOnGpu, EveryOddShapeHasTheBitsOfThePlainLoop) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_row_gradients<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

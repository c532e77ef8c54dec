#include "kernels/tree_add.hpp"

#include <gtest/gtest.h>

#include "gpu/device_array.hpp"
#include "kernels/tree_add_checks.hpp"

namespace bitmill {
namespace {

TEST(TreeAddOnGpu, EveryOddShapeHasTheBitsOfTheTree) {
  if (const std::string reason = why_no_gpu(); !reason.empty()) GTEST_SKIP() << reason;
  check_all_of_tree_add<DeviceArray>();
}

}  // namespace
}  // namespace bitmill

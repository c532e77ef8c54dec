#include "schedule/step_parts.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

constexpr DeviceRates rates = {.flops_per_s = 10, .bytes_per_s = 4, .call_s = 2};

TEST(StepParts, APartTakesTheLongerOfItsOperationsAndItsBytes) {
  EXPECT_DOUBLE_EQ(part_seconds({"", PartKind::product, 50, 4, 1}, rates), 5);
  EXPECT_DOUBLE_EQ(part_seconds({"", PartKind::product, 50, 40, 1}, rates), 10);
}

TEST(StepParts, PartsFollowOneAnotherUnlessTheHostIsSlower) {
  StepParts parts = {{"", PartKind::product, 50, 4, 1}, {"", PartKind::kernel, 0, 8, 1}};
  EXPECT_DOUBLE_EQ(parts_seconds(parts, rates), 5 + 2);
  parts[1].calls = 4;
  EXPECT_DOUBLE_EQ(parts_seconds(parts, rates), 5 * 2);
  EXPECT_DOUBLE_EQ(parts_seconds({}, rates), 0);
}

}  // namespace
}  // namespace bitmill

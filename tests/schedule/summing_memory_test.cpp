#include "schedule/summing_memory.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

// Positions 0 to 7 one after the other: when 7 comes, the sums 0-3, 4-5 and 6 are there.
TEST(SummingMemory, PeakOfSumsInFlightByHand) {
  EXPECT_EQ(peak_sums_in_flight(1, 1, 0, 4), 1);
  EXPECT_EQ(peak_sums_in_flight(8, 1, 0, 1), 4);
  EXPECT_EQ(peak_sums_in_flight(8, 1, 0, 2), 4);  // 0-3, 4-5, then 6 and 7
  EXPECT_EQ(peak_sums_in_flight(8, 1, 0, 8), 8);
  EXPECT_EQ(peak_sums_in_flight(8, 8, 3, 2), 1);
  EXPECT_EQ(peak_sums_in_flight(1, 2, 0, 1), 0);  // the last replica has the only position
}

TEST(SummingMemory, TwoReplicasSendAHalfOfTheirSumAndGetOne) {
  // Two halves go out and two come in, its own among them; the slice is a half, too.
  EXPECT_EQ(exchange_floats(100, 2, 2, 1), 4 * 50);
  EXPECT_EQ(summing_floats(100, 2, 2, 1, 1), 100 + 50 + 200);
  EXPECT_EQ(summing_floats(100, 1, 1, 0, 1), 100 + 100);
}

}  // namespace
}  // namespace bitmill

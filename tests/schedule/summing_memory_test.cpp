#include "schedule/summing_memory.hpp"

#include <gtest/gtest.h>

#include "schedule/reduction_tree.hpp"

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
  EXPECT_EQ(summing_floats(100, 1, 1, 0, 1), 100) << "alone it is the sum";
}

// The second of two has positions 8 to 15: 8-11, 12-13, 14 and 15 are there at once, and of them
// one sum is left when it is exchanged.
TEST(SummingMemory, WhatIsAddedIsGoneWhenSumsTravel) {
  EXPECT_EQ(summing_floats(100, 16, 2, 1, 1), 400);
  EXPECT_EQ(summing_floats(100, 16, 2, 1, 8), 800);
  EXPECT_EQ(summing_floats(100, 4, 2, 1, 1), 100 + 50 + 200) << "two sums are less than that";
}

// One float a replica: what travels is one for every partial sum that comes, and one for every peer
// of every own one.
TEST(SummingMemory, TheExchangeHasThePartialSumsOfAllReplicas) {
  for (int64_t n = 1; n <= 40; ++n) {
    for (int replicas = 2; replicas <= 9; ++replicas) {
      int64_t partials = 0;
      for (int peer = 0; peer < replicas; ++peer) {
        partials += std::ssize(local_partials(n, replicas, peer));
      }
      for (int replica = 0; replica < replicas; ++replica) {
        const int64_t own = std::ssize(local_partials(n, replicas, replica));
        EXPECT_EQ(exchange_floats(replicas, n, replicas, replica), partials + replicas * own)
            << n << " positions, replica " << replica << " of " << replicas;
      }
    }
  }
}

}  // namespace
}  // namespace bitmill

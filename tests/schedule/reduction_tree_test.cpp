#include "schedule/reduction_tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t most_positions = 40;
constexpr int most_replicas = 9;

// Sums written out as text, "((0+1)+2)", so that two orders of addition never look the same.
using Symbols = std::map<int64_t, std::string>;

void add(Symbols& sums, const std::vector<TreeAddition>& additions) {
  for (const TreeAddition& sum : additions) {
    ASSERT_TRUE(sums.contains(sum.into) && sums.contains(sum.from))
        << sum.into << " += " << sum.from << " uses a sum that is not there";
    sums[sum.into] = "(" + sums[sum.into] + "+" + sums[sum.from] + ")";
    sums.erase(sum.from);
  }
}

Symbols leaves(PositionRange positions) {
  Symbols sums;
  for (int64_t i = positions.begin; i < positions.end; ++i) sums[i] = std::to_string(i);
  return sums;
}

// The definition, written as plainly as possible: node (level, i) over n positions.
std::string node_by_definition(int64_t n, int level, int64_t i) {
  const int64_t begin = i << level;
  if (begin >= n) return "";
  if (level == 0) return std::to_string(begin);
  const std::string left = node_by_definition(n, level - 1, 2 * i);
  const std::string right = node_by_definition(n, level - 1, 2 * i + 1);
  return right.empty() ? left : "(" + left + "+" + right + ")";
}

TEST(ReductionTree, SevenPositionsByHand) {
  Symbols sums = leaves({0, 7});
  add(sums, tree_additions(7));
  EXPECT_EQ(sums[0], "(((0+1)+(2+3))+((4+5)+6))");
}

TEST(ReductionTree, AdditionsNameTheNodeTheyComplete) {
  EXPECT_THAT(tree_additions(3),
              ElementsAre(TreeAddition{0, 1, {0, 2}}, TreeAddition{0, 2, {0, 3}}));
  EXPECT_THAT(tree_additions(1), IsEmpty());
  EXPECT_THAT(tree_additions(0), IsEmpty());
}

TEST(ReductionTree, IsTheTreeOfTheDefinition) {
  for (int64_t n = 1; n <= most_positions; ++n) {
    Symbols sums = leaves({0, n});
    add(sums, tree_additions(n));
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums[0], node_by_definition(n, 6, 0)) << n << " positions";
    EXPECT_EQ(tree_additions(n).size(), static_cast<size_t>(n - 1));
  }
}

TEST(ReductionTree, SumDoesNotDependOnTheNumberOfReplicas) {
  for (int64_t n = 0; n <= most_positions; ++n) {
    for (int replicas = 1; replicas <= most_replicas; ++replicas) {
      SCOPED_TRACE(testing::Message() << n << " positions, " << replicas << " replicas");
      Symbols partials;
      for (int replica = 0; replica < replicas; ++replica) {
        Symbols own = leaves(owned_positions(n, replicas, replica));
        add(own, local_additions(n, replicas, replica));
        std::vector<int64_t> left;
        for (const auto& [position, sum] : own) left.push_back(position);
        EXPECT_EQ(left, local_partials(n, replicas, replica));
        partials.merge(own);
      }
      add(partials, final_additions(n, replicas));
      ASSERT_EQ(partials.size(), n == 0 ? 0U : 1U);
      EXPECT_EQ(n == 0 ? "" : partials[0], node_by_definition(n, 6, 0));
    }
  }
}

TEST(ReductionTree, AdditionsArePossibleAsSoonAsTheirPositionsAre) {
  for (int64_t n = 1; n <= most_positions; ++n) {
    const auto additions = tree_additions(n);
    Symbols sums;
    size_t next = 0;
    for (int64_t position = 0; position < n; ++position) {
      sums[position] = std::to_string(position);
      for (; next < additions.size() && additions[next].node.end <= position + 1; ++next) {
        add(sums, {additions[next]});
      }
      // At most one partial sum per level waits: that is what bounds the memory.
      EXPECT_LE(sums.size(), 7U);
    }
    EXPECT_EQ(next, additions.size());
    EXPECT_EQ(sums.size(), 1U);
  }
}

TEST(ReductionTree, EveryPositionHasOneOwner) {
  for (int64_t n = 0; n <= most_positions; ++n) {
    for (int replicas = 1; replicas <= most_replicas; ++replicas) {
      int64_t next = 0;
      for (int replica = 0; replica < replicas; ++replica) {
        const PositionRange owned = owned_positions(n, replicas, replica);
        EXPECT_EQ(owned.begin, next);
        EXPECT_LE(owned.size(), n / replicas + 1);
        next = owned.end;
      }
      EXPECT_EQ(next, n);
    }
  }
}

TEST(ReductionTree, PowerOfTwoReplicasThatDivideTheBatchKeepOnePartialEach) {
  for (int replica = 0; replica < 4; ++replica) {
    EXPECT_THAT(local_partials(8, 4, replica), ElementsAre(2 * replica));
  }
}

TEST(SliceBounds, CoverEverythingAtMultiplesOf64) {
  for (int64_t elements : {0, 1, 63, 64, 65, 127, 128, 1000, 4096, 100003}) {
    for (int replicas = 1; replicas <= most_replicas; ++replicas) {
      SCOPED_TRACE(testing::Message() << elements << " elements, " << replicas << " replicas");
      const auto bounds = slice_bounds(elements, replicas);
      ASSERT_EQ(bounds.size(), static_cast<size_t>(replicas) + 1);
      EXPECT_EQ(bounds.front(), 0);
      EXPECT_EQ(bounds.back(), elements);
      for (size_t p = 0; p + 1 < bounds.size(); ++p) {
        EXPECT_LE(bounds[p], bounds[p + 1]);
        EXPECT_TRUE(bounds[p] % 64 == 0 || bounds[p] == elements) << bounds[p];
        EXPECT_LE(bounds[p + 1] - bounds[p], elements / replicas + 64);
      }
    }
  }
}

TEST(SliceBounds, ByHand) {
  EXPECT_THAT(slice_bounds(200, 2), ElementsAre(0, 128, 200));
  EXPECT_THAT(slice_bounds(64, 3), ElementsAre(0, 0, 0, 64));
}

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

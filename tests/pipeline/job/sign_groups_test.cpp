#include "pipeline/job/sign_groups.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace bitmill {
namespace {

// By hand: 5 blocks, two at a time, are groups {0, 3}, {1, 4} and {2}.
TEST(SignGroups, AreSpreadOverTheDepth) {
  const SignGroups groups{5, 2};
  ASSERT_EQ(groups.count(), 3);
  for (int64_t block = 0; block < 5; ++block) {
    for (int64_t group = 0; group < 3; ++group) {
      EXPECT_EQ(groups.has(group, block), block % 3 == group);
    }
  }
  EXPECT_EQ((SignGroups{5, 5}.count()), 1);
  EXPECT_EQ((SignGroups{5, 1}.count()), 5);
}

// Every stage has its part of a group.
TEST(SignGroups, HaveFewerBlocksOnMoreStages) {
  const SignGroups groups{80, 20};  // 4 groups
  EXPECT_EQ(groups.most_in_stage(1), 20);
  EXPECT_EQ(groups.most_in_stage(8), 3);  // 10 blocks: remainders 0 and 1 three times
  EXPECT_EQ(groups.most_in_stage(80), 1);
}

TEST(SignGroups, HaveEveryStepOnceAndSharesThatDifferByOne) {
  for (const int64_t steps : {5, 7, 348}) {
    const SignGroups groups{5, 1};
    std::vector<int64_t> shares(5);
    int64_t last = 0;
    for (int64_t step = 0; step < steps; ++step) {
      const int64_t group = groups.group_at(step, steps);
      EXPECT_GE(group, last);
      last = group;
      ++shares[static_cast<size_t>(group)];
    }
    for (int64_t group = 0; group < 5; ++group) {
      const int64_t share = shares[static_cast<size_t>(group)];
      EXPECT_EQ(groups.steps_of(group, steps).size(), share);
      EXPECT_GE(share, steps / 5);
      EXPECT_LE(share, steps / 5 + 1);
    }
  }
}

}  // namespace
}  // namespace bitmill

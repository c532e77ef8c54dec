#include "schedule/resume.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

Plan resumed_plan(int stages, Walk walk = Walk::sweep) { return make_plan(4, 4, 2, stages, walk); }

// Blocks 0 and 1 have packed turn 0; block 2 has `steps`, and is at turn 0, too.
std::vector<BlockDone> two_packed(int64_t steps) {
  return {{1, 0, 0}, {1, 0, 0}, {0, steps > 0 ? 1 : 0, steps}, {}};
}

TEST(KeptStreams, BlocksBeforeThemAreLeftAlone) {
  const Plan plan = resumed_plan(1);
  const auto done = two_packed(3);
  const KeptStreams kept{2, 0, true};
  ASSERT_TRUE(can_begin_at(kept, plan, done));
  EXPECT_EQ(Remaining(plan, done).replays(), 2);
  const Remaining remaining(plan, done, kept);
  EXPECT_EQ(remaining.replays(), 0);
  EXPECT_EQ(remaining.visit(1, 0), Manner::skip);
  EXPECT_EQ(remaining.visit(2, 0), Manner::full);
  EXPECT_EQ(remaining.visit(0, 1), Manner::full);  // the next turn begins with the embeddings
  EXPECT_EQ(remaining.of_stage(0).front(), Manner::skip);
}

TEST(KeptStreams, FromAnEarlierBlockTheRestIsReplayed) {
  const Plan plan = resumed_plan(1);
  const KeptStreams kept{1, 0, true};
  ASSERT_TRUE(can_begin_at(kept, plan, two_packed(0)));
  EXPECT_EQ(Remaining(plan, two_packed(0), kept).replays(), 1);
}

TEST(KeptStreams, AreOfNoUseWhere) {
  const Plan plan = resumed_plan(1);
  EXPECT_FALSE(can_begin_at({}, plan, two_packed(3))) << "there are none";
  EXPECT_FALSE(can_begin_at({3, 0, false}, plan, two_packed(3))) << "a block before is not packed";
  EXPECT_FALSE(can_begin_at({2, 1, false}, plan, two_packed(3))) << "of a turn that is not begun";
  EXPECT_FALSE(can_begin_at({4, 0, false}, plan, two_packed(3))) << "there is no such block";
  EXPECT_FALSE(can_begin_at({2, 7, false}, plan, two_packed(3))) << "there is no such turn";
  EXPECT_FALSE(can_begin_at({2, 0, true}, plan, two_packed(0)))
      << "the block needs statistics of its inputs";
  EXPECT_TRUE(can_begin_at({2, 0, false}, plan, two_packed(0)));
  EXPECT_FALSE(can_begin_at({2, 0, false}, plan, {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}, {1, 0, 0}}))
      << "nobody reads them";
  EXPECT_FALSE(can_begin_at({2, 0, true}, resumed_plan(2), two_packed(3)))
      << "other stages need what the blocks before make";
  EXPECT_FALSE(can_begin_at({2, 0, true}, resumed_plan(1, Walk::wavefront), two_packed(3)))
      << "turn 1 needs the targets of the blocks before";
}

}  // namespace
}  // namespace bitmill

#include "schedule/resume.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Role = KeptUse::Role;

Plan resumed_plan(int stages, Walk walk = Walk::sweep) { return make_plan(4, 4, 2, stages, walk); }

// Blocks 0 and 1 have packed turn 0; block 2 has `steps`, and is at turn 0, too.
std::vector<BlockDone> two_packed(int64_t steps) {
  return {{1, 0, 0}, {1, 0, 0}, {0, steps > 0 ? 1 : 0, steps}, {}};
}

TEST(KeptStreams, BlocksBeforeThemAreLeftAlone) {
  const Plan plan = resumed_plan(1);
  const auto done = two_packed(3);
  EXPECT_EQ(Remaining(plan, done).replays(), 2);
  const Remaining remaining(plan, done, {student_stream(2, 0), teacher_stream(3)});
  EXPECT_EQ(remaining.replays(), 0);
  EXPECT_EQ(remaining.start(0), 2);
  EXPECT_EQ(remaining.visit(1, 0), Manner::skip);
  EXPECT_EQ(remaining.visit(2, 0), Manner::full);
  EXPECT_EQ(remaining.visit(0, 1), Manner::full);  // the next turn begins with the embeddings
  EXPECT_EQ(remaining.of_stage(0).front(), Manner::skip);
  EXPECT_THAT(remaining.uses(2, 0), ElementsAre(KeptUse{student_stream(2, 0), Role::student},
                                                KeptUse{teacher_stream(3), Role::targets}));
  EXPECT_THAT(remaining.uses(3, 0), IsEmpty());
  EXPECT_THAT(remaining.uses(2, 1), IsEmpty());
}

TEST(KeptStreams, FromAnEarlierBlockTheRestIsReplayed) {
  const Plan plan = resumed_plan(1);
  const Remaining remaining(plan, two_packed(0), {student_stream(1, 0), teacher_stream(2)});
  EXPECT_EQ(remaining.start(0), 1);
  EXPECT_EQ(remaining.replays(), 1);
}

TEST(KeptStreams, OfSeveralTheDeepestBegins) {
  const Plan plan = resumed_plan(1);
  const KeptStreams kept = {student_stream(1, 0), teacher_stream(1), student_stream(2, 0),
                            teacher_stream(2)};
  const Remaining remaining(plan, two_packed(0), kept);
  EXPECT_EQ(remaining.start(0), 2);
  EXPECT_THAT(remaining.used(), ElementsAre(teacher_stream(2), student_stream(2, 0)));
}

TEST(KeptStreams, AreOfNoUseWhere) {
  const Plan plan = resumed_plan(1);
  const auto starts_at = [&](const KeptStreams& kept, const std::vector<BlockDone>& done) {
    return Remaining(plan, done, kept).start(0);
  };
  const KeptStreams at_2 = {student_stream(2, 0), teacher_stream(2)};
  const KeptStreams targets_at_2 = {student_stream(2, 0), teacher_stream(3)};
  EXPECT_EQ(starts_at({}, two_packed(3)), 0) << "there are none";
  EXPECT_EQ(starts_at({student_stream(3, 0), teacher_stream(3)}, two_packed(3)), 0)
      << "a block before is not packed";
  EXPECT_EQ(starts_at({student_stream(2, 1), teacher_stream(2)}, two_packed(3)), 0)
      << "they are of another turn";
  EXPECT_EQ(starts_at({student_stream(2, 0)}, two_packed(3)), 0) << "the teacher's is missing";
  EXPECT_EQ(starts_at({teacher_stream(2), teacher_stream(3)}, two_packed(3)), 0)
      << "the student's is missing";
  EXPECT_EQ(starts_at(targets_at_2, two_packed(0)), 0)
      << "the block needs statistics of its inputs";
  EXPECT_EQ(starts_at(at_2, two_packed(0)), 2);
  EXPECT_EQ(starts_at(targets_at_2, two_packed(3)), 2);
  EXPECT_THAT(Remaining(plan, {{1, 0, 0}, {1, 0, 0}, {1, 0, 0}, {1, 0, 0}}, at_2).used(), IsEmpty())
      << "nobody reads them";
}

// Turn 0 is at block 3, and turn 1 at block 1; both are of one band.
class KeptOfABand : public testing::TestWithParam<Plan> {
 protected:
  const std::vector<BlockDone> done_ = {{2, 0, 0}, {1, 0, 0}, {1, 0, 0}, {}};
  const KeptStreams kept_ = {student_stream(3, 0), student_stream(1, 1), teacher_stream(2),
                             teacher_stream(3)};
};

TEST_P(KeptOfABand, EveryTurnBeginsAtItsOwnBlock) {
  EXPECT_EQ(Remaining(GetParam(), done_).replays(), 4);
  const Remaining remaining(GetParam(), done_, kept_);
  EXPECT_EQ(remaining.replays(), 0);
  EXPECT_EQ(remaining.start(0), 3);
  EXPECT_EQ(remaining.start(1), 1);
  EXPECT_EQ(remaining.used(), kept_);
  EXPECT_THAT(remaining.uses(3, 0), ElementsAre(KeptUse{student_stream(3, 0), Role::student},
                                                KeptUse{teacher_stream(3), Role::teacher}));
  EXPECT_THAT(remaining.uses(1, 1), ElementsAre(KeptUse{student_stream(1, 1), Role::student},
                                                KeptUse{teacher_stream(2), Role::targets}));
  EXPECT_THAT(remaining.uses(2, 1), ElementsAre(KeptUse{teacher_stream(3), Role::targets}));
  EXPECT_THAT(remaining.uses(3, 1), IsEmpty()) << "turn 0 has made its targets";
}

TEST_P(KeptOfABand, WhereTargetsAreMissingTheFirstTurnMakesThemAgain) {
  KeptStreams kept = kept_;
  kept.erase(teacher_stream(2));
  const Remaining remaining(GetParam(), done_, kept);
  EXPECT_EQ(remaining.start(0), 0);
  EXPECT_EQ(remaining.start(1), 1);
  EXPECT_EQ(remaining.replays(), 3);
  EXPECT_THAT(remaining.used(), ElementsAre(student_stream(1, 1)));
}

// The first turn has nothing left to do but to carry the teacher.
TEST_P(KeptOfABand, ATurnThatIsOverIsNotReplayedForItsTargets) {
  const std::vector<BlockDone> done = {{2, 0, 0}, {2, 0, 0}, {1, 0, 0}, {1, 0, 0}};
  const Remaining remaining(GetParam(), done,
                            {student_stream(2, 1), teacher_stream(3), teacher_stream(4)});
  EXPECT_EQ(remaining.replays(), 0);
  EXPECT_EQ(remaining.start(0), 4);
  EXPECT_EQ(remaining.visit(3, 0), Manner::skip);
  EXPECT_EQ(remaining.visit(3, 1), Manner::full);
}

// Nothing is sent to a visit that takes kept streams, and nothing received.
TEST(KeptStreams, DoNotTravel) {
  const Plan plan = resumed_plan(2);
  const KeptStreams kept = {student_stream(3, 0), student_stream(1, 1), teacher_stream(2),
                            teacher_stream(3)};
  const Remaining remaining(plan, {{2, 0, 0}, {1, 0, 0}, {1, 0, 0}, {}}, kept);
  std::vector<std::string> travels;
  for (const int stage : {0, 1}) {
    const auto manners = remaining.of_stage(stage);
    for (size_t i = 0; i < manners.size(); ++i) {
      const Action& action = plan.stages[static_cast<size_t>(stage)][i];
      const bool moves = action.kind == ActionKind::send || action.kind == ActionKind::receive ||
                         action.kind == ActionKind::embed;
      if (moves && manners[i] != Manner::skip) travels.push_back(to_token(action));
    }
  }
  EXPECT_THAT(travels, ElementsAre("R2.1", "S2.1", "S1.1", "R3.1"));
}

// A narrower band computes the teacher's stream again anyway: each turn needs only its start.
TEST(KeptStreams, OfAWideBandServeANarrowOne) {
  const Plan plan = resumed_plan(1);
  const KeptStreams kept = {student_stream(3, 0), student_stream(1, 1), teacher_stream(2),
                            teacher_stream(3)};
  const Remaining remaining(plan, {{2, 0, 0}, {1, 0, 0}, {1, 0, 0}, {}}, kept);
  EXPECT_EQ(remaining.replays(), 0);
  EXPECT_EQ(remaining.used(), kept);
}

TEST(KeptStreams, OfANarrowBandDoNotSpareAWideOneItsTeacher) {
  const Plan plan = resumed_plan(2);
  const Remaining remaining(plan, two_packed(3), {student_stream(2, 0), teacher_stream(3)});
  EXPECT_EQ(remaining.start(0), 0);
  EXPECT_THAT(remaining.used(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, KeptOfABand,
                         testing::Values(make_plan(4, 4, 2, 2, Walk::sweep),
                                         make_plan(4, 4, 2, 1, Walk::wavefront)));

}  // namespace
}  // namespace bitmill

#include "schedule/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

std::vector<Action> actions_of(const std::string& tokens) {
  std::vector<Action> actions;
  std::istringstream words(tokens);
  for (std::string word; words >> word;) actions.push_back(parse_token(word));
  return actions;
}

// Two blocks, two epochs, lag 1 on one stage, and the actions that the tokens name.
Plan plan_of(const std::string& tokens) { return {2, 2, 1, 1, 1, {actions_of(tokens)}}; }

Plan sweeps(int blocks, int epochs, int lag) {
  return make_plan(blocks, epochs, lag, 1, Walk::sweep);
}

TEST(Plan, TwoBlocksInTwoSweepsByHand) {
  EXPECT_EQ(draw(sweeps(2, 2, 1)),
            "E0\n"
            "L0 T0.0 O0.0 P0.0 F0.0 D0\n"
            "L1 T1.0 O1.0 P1.0 D1\n"
            "E1\n"
            "L0 T0.1 O0.1 P0.1 F0.1 D0\n"
            "L1 T1.1 O1.1 P1.1 F1.1 D1\n");
}

// Block l of turn k is trained in wave l + k.
TEST(Plan, WavefrontOnOneStageByHand) {
  EXPECT_EQ(draw(make_plan(2, 2, 1, 1, Walk::wavefront)),
            "E0\n"
            "L0 T0.0 O0.0 P0.0 F0.0 D0\n"
            "E1\n"
            "L0 T0.1 O0.1 P0.1 F0.1 D0\n"
            "L1 T1.0 O1.0 P1.0 D1\n"
            "L1 T1.1 O1.1 P1.1 F1.1 D1\n");
}

TEST(Plan, ThreeBlocksOnTwoStagesByHand) {
  for (const Walk walk : {Walk::wavefront, Walk::sweep}) {
    EXPECT_EQ(draw(make_plan(3, 2, 1, 2, walk)),
              "stage 0:\n"
              "E0\n"
              "L0 T0.0 O0.0 P0.0 F0.0 S0.0 D0\n"
              "E1\n"
              "L0 T0.1 O0.1 P0.1 F0.1 S0.1 D0\n"
              "R2.0 L2 T2.0 O2.0 P2.0 D2\n"
              "R2.1 L2 T2.1 O2.1 P2.1 F2.1 D2\n"
              "stage 1:\n"
              "R1.0 L1 T1.0 O1.0 P1.0 F1.0 S1.0 D1\n"
              "R1.1 L1 T1.1 O1.1 P1.1 F1.1 S1.1 D1\n");
  }
}

// Four turns on two stages: two bands of two turns, and the second begins when stage 0 is free.
TEST(Plan, SweepIsAsWideAsThereAreStages) {
  const Plan plan = make_plan(2, 4, 1, 2, Walk::sweep);
  EXPECT_EQ(plan.band, 2);
  EXPECT_EQ(draw(plan),
            "stage 0:\n"
            "E0\nL0 T0.0 O0.0 P0.0 F0.0 S0.0 D0\nE1\nL0 T0.1 O0.1 P0.1 F0.1 S0.1 D0\n"
            "E2\nL0 T0.2 O0.2 P0.2 F0.2 S0.2 D0\nE3\nL0 T0.3 O0.3 P0.3 F0.3 S0.3 D0\n"
            "stage 1:\n"
            "R1.0 L1 T1.0 O1.0 P1.0 D1\nR1.1 L1 T1.1 O1.1 P1.1 D1\n"
            "R1.2 L1 T1.2 O1.2 P1.2 D1\nR1.3 L1 T1.3 O1.3 P1.3 F1.3 D1\n");
}

TEST(Plan, NoPlanHasAFault) {
  for (int blocks : {1, 2, 3, 5, 12, 32}) {
    for (int epochs : {1, 2, 6, 20}) {
      for (int lag = 1; lag <= epochs; ++lag) {
        if (epochs % lag != 0) continue;
        for (int stages : {1, 2, 3, 4, 7, 20, 33}) {
          for (const Walk walk : {Walk::wavefront, Walk::sweep}) {
            const Plan plan = make_plan(blocks, epochs, lag, stages, walk);
            ASSERT_THAT(find_fault(plan), IsEmpty())
                << blocks << " blocks, " << epochs << " epochs, lag " << lag << ", " << stages
                << " stages, bands of " << plan.band;
          }
        }
      }
    }
  }
}

TEST(Plan, LagThatDoesNotDivideTheEpochsNamesTheNearestThatDo) {
  try {
    sweeps(4, 20, 6);
    FAIL() << "lag 6 was taken";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("lag 6 does not divide 20 epochs"));
    EXPECT_THAT(error.what(), HasSubstr("5 and 10"));
  }
  EXPECT_THROW(sweeps(4, 20, 0), UsageError);
  EXPECT_THROW(sweeps(4, 20, -5), UsageError);
  EXPECT_THROW(sweeps(4, 20, 40), UsageError);
  EXPECT_THROW(sweeps(0, 20, 20), UsageError);
  EXPECT_THROW(sweeps(4, 0, 1), UsageError);
}

// A sweep narrower than all turns comes back to every block, so that all of them have a file.
TEST(Plan, FilesOfLiveBlocksByHand) {
  const auto files = [](int blocks, int lag, int stages, Walk walk) {
    return live_files(make_plan(blocks, 4, lag, stages, walk));
  };
  EXPECT_EQ(files(8, 4, 1, Walk::sweep), 1 + 1);  // and the one that replaces it
  EXPECT_EQ(files(8, 4, 3, Walk::sweep), 1 + 1);
  EXPECT_EQ(files(8, 1, 1, Walk::sweep), 8 + 1);
  EXPECT_EQ(files(8, 1, 2, Walk::sweep), 8 + 2);
  EXPECT_EQ(files(8, 1, 4, Walk::sweep), 4 + 4);
  EXPECT_EQ(files(8, 1, 1, Walk::wavefront), 4 + 1);
  EXPECT_EQ(files(2, 1, 4, Walk::wavefront), 2 + 2);
}

TEST(Plan, NearestDivisors) {
  EXPECT_THAT(nearest_divisors(20, 6), Pair(5, 10));
  EXPECT_THAT(nearest_divisors(20, 5), Pair(5, 5));
  EXPECT_THAT(nearest_divisors(20, 0), Pair(1, 1));
  EXPECT_THAT(nearest_divisors(20, 99), Pair(20, 20));
  EXPECT_THAT(nearest_divisors(7, 3), Pair(1, 7));
}

TEST(Plan, TokensReadBack) {
  for (const auto& stage : make_plan(12, 24, 2, 3, Walk::wavefront).stages) {
    for (const Action& action : stage) {
      EXPECT_EQ(parse_token(to_token(action)), action) << to_token(action);
    }
  }
}

TEST(Plan, WhatIsNotATokenIsRefused) {
  for (const char* text : {"", "E", "X1", "E0.1", "L", "L1.0", "T1", "T1.", "T.1", "T1.0 ", " T1.0",
                           "T01.0", "T1.-1", "T-1.0", "T+1.0", "e0", "T99999999999.0", "D1x"}) {
    EXPECT_THROW(parse_token(text), UsageError) << '"' << text << '"';
  }
}

TEST(FindFault, SaysWhatIsWrongAndWhere) {
  const std::string start = "E0 L0 T0.0 O0.0 P0.0 F0.0 D0 ";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "block 0 is never committed: 0 of its 2 turns"},
      {start, "block 0 is never committed: 1 of its 2 turns"},
      {"E0 T0.0", "action 1 (T0.0): block 0 is not resident"},
      {"E0 D0", "block 0 is not resident"},
      {"L0 T0.0", "the stream of turn 0 was not handed on to block 0"},
      {"E1", "turn 0 of 2 comes next"},
      {"E0 E0", "turn 1 of 2 comes next"},
      {"E0 L2", "there is no block 2 among 2"},
      {"E0 L0 L0", "block 0 is already resident"},
      {"E0 L0 L1", "blocks 0 and 1 are resident at once"},
      {"E0 L0 T0.1", "turn 1 of block 0 is out of order"},
      {"E0 L0 T0.0 T0.0", "turn 0 of block 0 is out of order"},
      {"E0 L0 O0.0", "its targets must be ready"},
      {"E0 L0 T0.0 P0.0", "trained values must be ready"},
      {"E0 L0 T0.0 O0.0 F0.0", "packed values must be ready"},
      {"E0 L0 T0.0 O0.0 P0.0 F0.0 F0.0", "packed values must be ready and not yet used"},
      {"E0 L0 T0.0 O0.0 D0", "leaves memory before its turn is packed"},
      {"E0 L0 T0.0 O0.0 P0.0 D0 L1 T1.0", "the stream of turn 0 was not handed on to block 1"},
      {start + "L0 T0.1", "the stream of turn 1 was not handed on to block 0"},
      {"E0 L0 T0.0 O0.0 P0.0 F0.0 S0.0", "nobody receives it"},
  };
  for (const auto& [tokens, words] : cases) {
    EXPECT_THAT(find_fault(plan_of(tokens)), HasSubstr(words)) << tokens;
  }
}

TEST(FindFault, SaysWhatIsWrongBetweenStages) {
  const std::string zero = "E0 L0 T0.0 O0.0 P0.0 F0.0 S0.0 D0 ";
  const std::string one = "R1.0 L1 T1.0 O1.0 P1.0 F1.0 D1";
  struct Case {
    std::string stage_0, stage_1, words;
  };
  const std::vector<Case> cases = {
      {zero, one, ""},
      {"E0 L1", one, "stage 0, action 1 (L1): block 1 lives on stage 1"},
      {zero, "E0", "stage 1, action 0 (E0): the streams start on stage 0"},
      {"E0 L0 T0.0 O0.0 P0.0 S0.0", one, "block 0 did not hand the stream of turn 0 on"},
      {"E0 L0 T0.0 O0.0 P0.0 F0.0 D0 ", one, "the stages wait for ever: stage 1 at R1.0"},
      {zero, "R1.1", "the next that was sent is for block 1, turn 0"},
      {zero, "", "block 1 is never committed"},
  };
  for (const Case& one_case : cases) {
    const Plan plan{2, 1, 1, 1, 1, {actions_of(one_case.stage_0), actions_of(one_case.stage_1)}};
    const std::string fault = find_fault(plan);
    if (one_case.words.empty()) {
      EXPECT_THAT(fault, IsEmpty());
    } else {
      EXPECT_THAT(fault, HasSubstr(one_case.words)) << one_case.stage_0 << "| " << one_case.stage_1;
    }
  }
}

// Four turns at once on two stages: each sends two streams before it receives any.
TEST(FindFault, LinksThatHoldTooLittleAreADeadlock) {
  Plan plan = make_plan(6, 4, 1, 2, Walk::wavefront);
  EXPECT_THAT(find_fault(plan), IsEmpty());
  plan.link_capacity = 1;
  EXPECT_THAT(find_fault(plan), HasSubstr("the stages wait for ever: stage 0 at S"));
}

TEST(FindFault, PlanWithoutSenseIsAFault) {
  EXPECT_THAT(find_fault(Plan{}), HasSubstr("makes no sense"));
  EXPECT_THAT(find_fault(Plan{1, 3, 2, 1, 1, {{}}}), HasSubstr("lag 2"));
}

TEST(FindFault, StreamOfTheFinishedModelMustBeHandedOn) {
  Plan plan = sweeps(2, 2, 2);
  std::erase(plan.stages[0], parse_token("F1.0"));
  EXPECT_THAT(find_fault(plan), HasSubstr("was not handed on by block 1"));
}

TEST(FindFault, ForwardThatNobodyReadsIsNoFault) {
  Plan plan = sweeps(2, 2, 1);
  auto& actions = plan.stages[0];
  const auto drop = std::ranges::find(actions, parse_token("D1"));
  actions.insert(drop, parse_token("F1.0"));
  EXPECT_THAT(find_fault(plan), IsEmpty());
}

}  // namespace
}  // namespace bitmill

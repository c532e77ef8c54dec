#include "schedule/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/error.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// Two blocks, two epochs, lag 1, and the actions that the blank-separated tokens name.
Plan plan_of(const std::string& tokens) {
  Plan plan{2, 2, 1, {}};
  for (size_t begin = 0; begin < tokens.size();) {
    const size_t end = std::min(tokens.find(' ', begin), tokens.size());
    plan.actions.push_back(parse_token(tokens.substr(begin, end - begin)));
    begin = end + 1;
  }
  return plan;
}

TEST(Plan, TwoBlocksInTwoSweepsByHand) {
  EXPECT_EQ(draw(plan_sweeps(2, 2, 1)),
            "E0\n"
            "L0 T0.0 O0.0 P0.0 F0.0 D0\n"
            "L1 T1.0 O1.0 P1.0 D1\n"
            "E1\n"
            "L0 T0.1 O0.1 P0.1 F0.1 D0\n"
            "L1 T1.1 O1.1 P1.1 F1.1 D1\n");
}

TEST(Plan, SweepsHaveNoFault) {
  for (int blocks : {1, 2, 3, 32}) {
    for (int epochs : {1, 2, 6, 20}) {
      for (int lag = 1; lag <= epochs; ++lag) {
        if (epochs % lag != 0) continue;
        EXPECT_THAT(find_fault(plan_sweeps(blocks, epochs, lag)), IsEmpty())
            << blocks << " blocks, " << epochs << " epochs, lag " << lag;
      }
    }
  }
}

TEST(Plan, LagThatDoesNotDivideTheEpochsNamesTheNearestThatDo) {
  try {
    plan_sweeps(4, 20, 6);
    FAIL() << "lag 6 was taken";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("lag 6 does not divide 20 epochs"));
    EXPECT_THAT(error.what(), HasSubstr("5 and 10"));
  }
  EXPECT_THROW(plan_sweeps(4, 20, 0), UsageError);
  EXPECT_THROW(plan_sweeps(4, 20, -5), UsageError);
  EXPECT_THROW(plan_sweeps(4, 20, 40), UsageError);
  EXPECT_THROW(plan_sweeps(0, 20, 20), UsageError);
  EXPECT_THROW(plan_sweeps(4, 0, 1), UsageError);
}

TEST(Plan, NearestDivisors) {
  EXPECT_THAT(nearest_divisors(20, 6), Pair(5, 10));
  EXPECT_THAT(nearest_divisors(20, 5), Pair(5, 5));
  EXPECT_THAT(nearest_divisors(20, 0), Pair(1, 1));
  EXPECT_THAT(nearest_divisors(20, 99), Pair(20, 20));
  EXPECT_THAT(nearest_divisors(7, 3), Pair(1, 7));
}

TEST(Plan, TokensReadBack) {
  for (const Action& action : plan_sweeps(12, 24, 2).actions) {
    EXPECT_EQ(parse_token(to_token(action)), action) << to_token(action);
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
      {"L0 T0.0", "no stream has started"},
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
      {"E0 L0 T0.0 O0.0 P0.0 D0 L1 T1.0", "the stream of turn 0 is at block 0"},
      {start + "L0 T0.1", "the stream of turn 1 was not handed on to block 0"},
  };
  for (const auto& [tokens, words] : cases) {
    EXPECT_THAT(find_fault(plan_of(tokens)), HasSubstr(words)) << tokens;
  }
}

TEST(FindFault, PlanWithoutSenseIsAFault) {
  EXPECT_THAT(find_fault(Plan{}), HasSubstr("makes no sense"));
  EXPECT_THAT(find_fault(Plan{1, 3, 2, {}}), HasSubstr("lag 2"));
}

TEST(FindFault, StreamOfTheFinishedModelMustBeHandedOn) {
  Plan plan = plan_sweeps(2, 2, 2);
  std::erase(plan.actions, parse_token("F1.0"));
  EXPECT_THAT(find_fault(plan), HasSubstr("was not handed on by block 1"));
}

TEST(FindFault, ForwardThatNobodyReadsIsNoFault) {
  Plan plan = plan_sweeps(2, 2, 1);
  const auto drop = std::find(plan.actions.begin(), plan.actions.end(), parse_token("D1"));
  plan.actions.insert(drop, parse_token("F1.0"));
  EXPECT_THAT(find_fault(plan), IsEmpty());
}

// Starting the streams touches no block, so it may change places with the load after it and the
// drop before it. Every plan that differs by nothing else has this one form.
Plan canonical(Plan plan) {
  auto& actions = plan.actions;
  for (size_t i = 0; i < actions.size(); ++i) {
    if (actions[i].kind != ActionKind::embed) continue;
    size_t at = i;
    for (; at > 0 && actions[at - 1].kind == ActionKind::load; --at) {
      std::swap(actions[at - 1], actions[at]);
    }
    for (; at + 1 < actions.size() && actions[at + 1].kind == ActionKind::drop; ++at) {
      std::swap(actions[at + 1], actions[at]);
    }
  }
  return plan;
}

void expect_fault_unless_equivalent(const Plan& good, const Plan& mutant) {
  if (canonical(mutant).actions == canonical(good).actions) {
    EXPECT_THAT(find_fault(mutant), IsEmpty()) << draw(mutant);
  } else {
    EXPECT_THAT(find_fault(mutant), Not(IsEmpty())) << draw(mutant);
  }
}

class MutatedPlan : public testing::TestWithParam<Plan> {};

TEST_P(MutatedPlan, DroppingAnActionIsAFault) {
  for (size_t i = 0; i < GetParam().actions.size(); ++i) {
    Plan mutant = GetParam();
    mutant.actions.erase(mutant.actions.begin() + static_cast<ptrdiff_t>(i));
    expect_fault_unless_equivalent(GetParam(), mutant);
  }
}

TEST_P(MutatedPlan, RepeatingAnActionAnywhereIsAFault) {
  const size_t count = GetParam().actions.size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t at = 0; at <= count; ++at) {
      Plan mutant = GetParam();
      mutant.actions.insert(mutant.actions.begin() + static_cast<ptrdiff_t>(at),
                            GetParam().actions[i]);
      expect_fault_unless_equivalent(GetParam(), mutant);
    }
  }
}

TEST_P(MutatedPlan, SwappingTwoActionsIsAFault) {
  const size_t count = GetParam().actions.size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = i + 1; j < count; ++j) {
      Plan mutant = GetParam();
      std::swap(mutant.actions[i], mutant.actions[j]);
      expect_fault_unless_equivalent(GetParam(), mutant);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, MutatedPlan,
                         testing::Values(plan_sweeps(1, 1, 1), plan_sweeps(1, 4, 1),
                                         plan_sweeps(3, 2, 2), plan_sweeps(3, 4, 2),
                                         plan_sweeps(4, 3, 1)));

}  // namespace
}  // namespace bitmill

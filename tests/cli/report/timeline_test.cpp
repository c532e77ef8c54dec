// What ranks did and will do, as rows of one picture.

#include "cli/report/timeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "cli/report/action_clock.hpp"
#include "cli/report/loss_curve.hpp"
#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Nobody : public QuantizeObserver {};

const Action load = {ActionKind::load, 3, -1};
const Action train = {ActionKind::train, 3, 1};

TEST(ActionClock, TimeBeginsWithTheFirstActionOfAnyRank) {
  run_ranks(3, [](Communicator& comm) {
    Nobody nobody;
    double now = 50 + comm.rank();  // clocks of several hosts agree on nothing
    ActionClock clock(
        comm, [&] { return now; }, nobody);
    if (comm.rank() < 2) {  // the third has no work
      now += 2 + comm.rank();
      clock.action_begins(load);
      now += 1;
      clock.action_done(load);
      now += 4;  // waits
      clock.action_begins(train);
      now += 5;
      clock.action_done(train);
    }
    const Timeline timeline = clock.timeline("as it was");
    ASSERT_EQ(timeline.rows.size(), 3U);
    EXPECT_DOUBLE_EQ(timeline.seconds, 11);
    const TimelineRow& second = timeline.rows[1];
    EXPECT_EQ(second.name, "rank 1");
    ASSERT_EQ(second.actions.size(), 2U);
    EXPECT_EQ(second.actions[1].action, train);
    EXPECT_DOUBLE_EQ(second.actions[0].begin_s, 1);
    EXPECT_DOUBLE_EQ(second.actions[1].begin_s, 6);
    EXPECT_DOUBLE_EQ(second.actions[1].end_s, 11);
    EXPECT_EQ(second.note, "busy 54.5 %");
    EXPECT_TRUE(timeline.rows[2].actions.empty());
  });
}

TEST(ActionClock, ARunThatWasDoneAlreadyHasNothingToShow) {
  run_ranks(1, [](Communicator& comm) {
    Nobody nobody;
    const Timeline timeline = ActionClock(
                                  comm, [] { return 7.0; }, nobody)
                                  .timeline("as it was");
    EXPECT_EQ(timeline.seconds, 0);
    EXPECT_EQ(timeline.facts, "nothing was left to do");
  });
}

TEST(ActionClock, WhatAStopCutShortEndsWithIt) {
  run_ranks(1, [](Communicator& comm) {
    Nobody nobody;
    double now = 0;
    ActionClock clock(
        comm, [&] { return now; }, nobody);
    clock.resumed({});
    clock.action_begins(train);
    now = 3;
    const Timeline timeline = clock.timeline("as it was");
    EXPECT_DOUBLE_EQ(timeline.rows[0].actions[0].end_s, 3);
    EXPECT_THAT(timeline.facts, HasSubstr("an earlier start"));
  });
}

// Eight blocks on two stages.
Timeline planned(int ranks, int replicas) {
  PlanRequest request;
  request.work.blocks = 8;
  request.work.epochs = request.work.lag = 1;
  request.work.batch = 64;
  request.work.samples = 64;
  request.work.unit_flops = 1;
  request.ranks = ranks;
  return planned_timeline(forecast(request, {2, replicas}, Walk::sweep), "x");
}

int count(const std::string& text, const std::string& word) {
  int found = 0;
  for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++found;
  return found;
}

TEST(Timeline, EveryRankHasARowUpToAThousand) {
  const Timeline few = planned(10, 4);
  ASSERT_EQ(few.rows.size(), 10U);
  EXPECT_EQ(few.rows[4].name, "rank 4");
  EXPECT_EQ(actions_of(few, few.rows[0]).size(), actions_of(few, few.rows[3]).size());
  EXPECT_FALSE(actions_of(few, few.rows[7]).empty());
  EXPECT_EQ(few.rows[8].note, "not in the mesh");
  EXPECT_TRUE(actions_of(few, few.rows[9]).empty());
  EXPECT_EQ(planned(1024, 64).rows.size(), 1024U);
  const Timeline more = planned(1025, 64);
  EXPECT_EQ(more.rows.size(), 2U);
  EXPECT_THAT(more.facts, HasSubstr("a row is a stage"));
}

// The page has one list of actions a stage; a trace, which cannot share, leaves replicas out.
TEST(Timeline, ReplicasShareTheActionsOfTheirStage) {
  const Timeline timeline = planned(128, 64);
  ASSERT_EQ(timeline.rows.size(), 128U);
  EXPECT_EQ(count(timeline_page("x", {&timeline, 1}), "\"actions\":"), 2);
  const json events = json::parse(trace_json({&timeline, 1})).at("traceEvents");
  std::set<int> rows;
  for (const json& event : events) rows.insert(event.at("tid").get<int>());
  EXPECT_EQ(rows, (std::set<int>{0, 64}));
  EXPECT_THAT(events.at(0).at("args").at("name").get<std::string>(),
              HasSubstr("one rank of every stage"));

  const Timeline few = planned(8, 4);
  const json all = json::parse(trace_json({&few, 1})).at("traceEvents");
  rows.clear();
  for (const json& event : all) {
    if (event.at("ph") == "X") rows.insert(event.at("tid").get<int>());
  }
  EXPECT_EQ(rows.size(), 8U);
}

TEST(Timeline, ThePageHasCurvesBelowIt) {
  const Curve curve = loss_curve(
      {true, {{0, std::nullopt, 3.5}, {10, 3.25, 3.0}, {20, std::nullopt, std::nullopt}}}, "<b>");
  ASSERT_EQ(curve.series.size(), 2U);
  using Points = std::vector<std::pair<double, double>>;
  EXPECT_EQ(curve.x_name, "step");
  EXPECT_EQ(curve.series[0].points, (Points{{10, 3.25}}));
  EXPECT_EQ(curve.series[1].points, (Points{{0, 3.5}, {10, 3.0}}));
  const std::string page = timeline_page("x", {}, {&curve, 1});
  EXPECT_THAT(page, HasSubstr("[[0.0,3.5],[10.0,3.0]]"));
  EXPECT_THAT(page, HasSubstr("\\u003cb>"));
}

TEST(Timeline, TheTraceHasAProcessForEachAndTheTimesInMicroseconds) {
  const std::vector<Timeline> timelines = {
      {"as planned", "", 3, {{"rank 0", "", {{load, 0, 1}, {train, 1, 3}}}}},
      {"as it was", "", 4, {{"rank 0", "", {{train, 1.5, 4}}}}}};
  const json events = json::parse(trace_json(timelines)).at("traceEvents");
  json trains = json::array();
  for (const json& event : events) {
    if (event.at("name") == "O3.1") trains.push_back(event);
  }
  ASSERT_EQ(trains.size(), 2U);
  EXPECT_EQ(trains[0].at("pid"), 0);
  EXPECT_EQ(trains[1].at("pid"), 1);
  EXPECT_EQ(trains[1].at("ts"), 1.5e6);
  EXPECT_EQ(trains[1].at("dur"), 2.5e6);
}

TEST(Timeline, NothingInATextEndsThePageEarly) {
  const Timeline timeline = {"</script><b>", "", 1, {{"</script>", "", {{load, 0, 1}}}}};
  const std::string page = timeline_page("</script>", {&timeline, 1});
  size_t ends = 0;
  for (size_t at = 0; (at = page.find("</script", at)) != std::string::npos; ++at) ++ends;
  EXPECT_EQ(ends, 1U);
  EXPECT_THAT(page, HasSubstr("\\u003c/script>\\u003cb>"));
}

}  // namespace
}  // namespace bitmill

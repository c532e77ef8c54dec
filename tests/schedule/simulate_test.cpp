#include "schedule/simulate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace bitmill {
namespace {

// An epoch takes a second, everything else nothing; a stream is a byte.
PlanCosts training_only() {
  PlanCosts costs;
  costs.epoch_s = 1;
  costs.link_bytes_per_s = 1e9;
  costs.stream_bytes = 1;
  return costs;
}

double makespan(int blocks, int turns, int stages, Walk walk) {
  return simulate(make_plan(blocks, turns, 1, stages, walk), training_only()).makespan_s;
}

TEST(Simulate, OneStageDoesOneThingAfterTheOther) {
  PlanCosts costs;
  costs.embed_s = 1;
  costs.load_s = 2;
  costs.forward_s = 4;
  costs.prepare_s = 8;
  costs.epoch_s = 16;
  costs.pack_s = 32;
  // One block, one turn: two streams embedded and taught, one forwarded.
  EXPECT_DOUBLE_EQ(simulate(make_plan(1, 2, 2, 1, Walk::sweep), costs).makespan_s,
                   2 * 1 + 2 + 2 * 4 + 8 + 2 * 16 + 32 + 4);
}

TEST(Simulate, AStageWithoutWorkHoldsOnItsHostWhatARankHoldsThere) {
  PlanCosts costs;
  costs.fixed_bytes = 3;
  EXPECT_EQ(simulate(make_plan(1, 2, 2, 2, Walk::sweep), costs).stages[1].host_bytes, 3);
  costs.own_device = true;
  costs.host_fixed_bytes = 500;
  const Simulation two = simulate(make_plan(1, 2, 2, 2, Walk::sweep), costs);
  EXPECT_EQ(two.stages[1].host_bytes, 500);
  EXPECT_EQ(two.stages[1].peak_bytes, 3) << "on the device";
}

TEST(Simulate, OnlyTheFirstTurnOfABlockTakesWhatComesBeforeIt) {
  PlanCosts costs;
  costs.first_s = 3;
  EXPECT_DOUBLE_EQ(simulate(make_plan(2, 4, 1, 1, Walk::sweep), costs).makespan_s, 2 * 3);
}

// Turn (l, k) ends at l + k + 1 when there are as many stages as turns.
TEST(Simulate, StagesTrainBesideEachOtherBehindAFill) {
  EXPECT_NEAR(makespan(8, 4, 1, Walk::sweep), 32, 1e-6);
  EXPECT_NEAR(makespan(8, 4, 1, Walk::wavefront), 32, 1e-6);
  EXPECT_NEAR(makespan(8, 4, 4, Walk::wavefront), 11, 1e-6);
  EXPECT_NEAR(makespan(8, 4, 2, Walk::sweep), 17, 1e-6);
  EXPECT_NEAR(makespan(3, 1, 3, Walk::sweep), 3, 1e-6);  // one turn: no parallelism
}

TEST(Simulate, AMessageTakesItsTimeAndComputationGoesOnMeanwhile) {
  PlanCosts costs = training_only();
  costs.link_bytes_per_s = 2;
  costs.link_latency_s = 0.25;
  // Two streams of a byte: 1.25 s, after block 0 has trained.
  EXPECT_DOUBLE_EQ(simulate(make_plan(2, 1, 1, 2, Walk::sweep), costs).makespan_s, 1 + 1.25 + 1);
  // The second turn of block 0 trains while the first one's streams travel.
  const Simulation two = simulate(make_plan(2, 2, 1, 2, Walk::sweep), costs);
  EXPECT_DOUBLE_EQ(two.makespan_s, 1 + 1.25 + 1 + 1);
  EXPECT_EQ(two.stages[0].sent_bytes, 3);
}

TEST(Simulate, BusyAndIdleAddUp) {
  const Simulation simulation = simulate(make_plan(8, 4, 1, 4, Walk::wavefront), training_only());
  EXPECT_NEAR(simulation.idle_fraction(), 1 - 32 / (4 * 11.0), 1e-6);
  for (const SimulatedStage& stage : simulation.stages) {
    double busy = 0, end = 0;
    for (const TimedAction& one : stage.actions) {
      EXPECT_GE(one.begin_s, end);
      end = one.end_s;
      busy += one.end_s - one.begin_s;
    }
    EXPECT_NEAR(busy, stage.busy_s, 1e-9);
  }
}

// On one stage a sweep holds teacher, student and homologous; a wavefront one more for every other
// block whose targets it keeps, and the students between them.
TEST(Simulate, StreamsInMemoryByHand) {
  const auto peak = [](int blocks, int turns, int stages, Walk walk) {
    return simulate(make_plan(blocks, turns, 1, stages, walk), training_only())
        .stages[0]
        .peak_stream_bytes;
  };
  EXPECT_EQ(peak(6, 1, 1, Walk::sweep), 3);
  EXPECT_EQ(peak(6, 4, 1, Walk::sweep), 3);
  EXPECT_GT(peak(6, 4, 1, Walk::wavefront), 6);
}

TEST(Simulate, NothingIsLeftInMemory) {
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    const auto pick = [&](int low, int high) {
      return std::uniform_int_distribution(low, high)(random);
    };
    const int blocks = pick(1, 9), turns = pick(1, 6), stages = pick(1, 5);
    const Walk walk = pick(0, 1) == 0 ? Walk::sweep : Walk::wavefront;
    PlanCosts costs = training_only();
    costs.link_bytes_per_s = pick(1, 4);
    for (const SimulatedStage& stage :
         simulate(make_plan(blocks, turns, 1, stages, walk), costs).stages) {
      EXPECT_EQ(stage.left_over_bytes, 0) << blocks << " blocks, " << turns << " turns, " << stages
                                          << " stages, walk " << static_cast<int>(walk);
    }
  }
}

}  // namespace
}  // namespace bitmill

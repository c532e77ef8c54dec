#include "schedule/rank_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

PlanCosts some_costs() {
  PlanCosts costs;
  costs.fixed_bytes = 1000;
  costs.resident_bytes = 30;
  costs.loaded_bytes = 20;
  costs.stream_bytes = 5;
  costs.assembly_bytes = 20;
  costs.header_bytes = 7;
  costs.epoch_s = 1;
  costs.link_bytes_per_s = 1e9;
  return costs;
}

TEST(RankMemory, StreamsBeyondTheirLimitAreScratch) {
  PlanCosts costs = some_costs();
  EXPECT_EQ(streams_in_memory(costs, 100), 100);
  EXPECT_EQ(streams_in_scratch(costs, 100), 0);
  costs.stream_memory = 40;
  EXPECT_EQ(streams_in_memory(costs, 100), 40);
  EXPECT_EQ(streams_in_scratch(costs, 100), 60);
  EXPECT_EQ(streams_in_scratch(costs, 30), 0);
}

TEST(RankMemory, PeakByHand) {
  PlanCosts costs = some_costs();
  EXPECT_EQ(rank_peak_bytes(costs, 100, false), 1000 + 100 + 30);
  EXPECT_EQ(rank_peak_bytes(costs, 100, true), 1000 + 100 + 30 + 7);
  costs.loaded_bytes = 50;
  costs.stream_memory = 40;
  EXPECT_EQ(rank_peak_bytes(costs, 100, false), 1000 + 40 + 50);
  costs.assembly_bytes = 200;
  EXPECT_EQ(rank_peak_bytes(costs, 100, true), 1000 + 200 + 7) << "after training";
}

// Three streams on one stage.
TEST(RankMemory, ASimulationCountsItTheSameWay) {
  PlanCosts costs = some_costs();
  const Plan plan = make_plan(6, 4, 1, 1, Walk::sweep);
  EXPECT_EQ(simulate(plan, costs).peak_bytes(), 1000 + 15 + 30 + 7);
  EXPECT_EQ(simulate_training(plan, costs).peak_bytes(), 1000 + 15 + 30 + 7);
  costs.stream_memory = 6;
  EXPECT_EQ(simulate(plan, costs).peak_bytes(), 1000 + 6 + 30 + 7);
  EXPECT_EQ(simulate(plan, costs).peak_stream_bytes(), 15);
}

TEST(FindMemoryFault, NamesTheStageThatNeedsTooMuchAndItsFigures) {
  const Simulation simulation = simulate(make_plan(6, 4, 1, 2, Walk::wavefront), some_costs());
  const int64_t peak = simulation.peak_bytes();
  EXPECT_THAT(find_memory_fault(simulation, 0), IsEmpty());
  EXPECT_THAT(find_memory_fault(simulation, peak), IsEmpty());
  EXPECT_THAT(find_memory_fault(simulation, peak - 1),
              AllOf(HasSubstr("a rank of stage "), HasSubstr(std::to_string(peak) + " bytes"),
                    HasSubstr(std::to_string(peak - 1))));
}

}  // namespace
}  // namespace bitmill

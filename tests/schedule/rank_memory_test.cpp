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
  EXPECT_EQ(stream_tiers(costs, 100).memory, 100);
  EXPECT_EQ(stream_tiers(costs, 100).scratch, 0);
  costs.stream_memory = 40;
  EXPECT_EQ(stream_tiers(costs, 100).memory, 40);
  EXPECT_EQ(stream_tiers(costs, 100).scratch, 60);
  EXPECT_EQ(stream_tiers(costs, 30).scratch, 0);
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

// With a device of 40 bytes of room: first there, then on the host, then scratch.
TEST(RankMemory, StreamsThatADeviceHasNoRoomForGoToTheHost) {
  PlanCosts costs = some_costs();
  costs.own_device = true;
  costs.device_stream_memory = 40;
  costs.arriving_bytes = 3;
  costs.host_bytes = 500;
  costs.stream_memory = 50;
  const StreamTiers fit = stream_tiers(costs, 40);
  EXPECT_EQ(fit.device, 40);
  EXPECT_EQ(fit.arriving + fit.memory + fit.scratch, 0);
  const StreamTiers tiers = stream_tiers(costs, 100);
  EXPECT_EQ(tiers.device, 37);
  EXPECT_EQ(tiers.arriving, 3);
  EXPECT_EQ(tiers.memory, 50);
  EXPECT_EQ(tiers.scratch, 13);
  EXPECT_EQ(rank_peak_bytes(costs, 100, true), 1000 + 30 + 40);
  EXPECT_EQ(rank_host_bytes(costs, 100, false), 500 + 50);
  EXPECT_EQ(rank_host_bytes(costs, 100, true), 500 + 50 + 20 + 7);
  costs.own_device = false;
  EXPECT_EQ(rank_host_bytes(costs, 100, true), rank_peak_bytes(costs, 100, true)) << "one memory";
}

TEST(FindMemoryFault, NamesTheStageThatNeedsTooMuchAndItsFigures) {
  const Simulation simulation = simulate(make_plan(6, 4, 1, 2, Walk::wavefront), some_costs());
  const int64_t peak = simulation.peak_bytes();
  const auto fault = [&](const MemoryLimits& limits) {
    return find_memory_fault(simulation, some_costs(), limits);
  };
  EXPECT_THAT(fault({}), IsEmpty());
  EXPECT_THAT(fault({.host = peak}), IsEmpty());
  EXPECT_THAT(fault({.device = 1}), IsEmpty()) << "there is none";
  EXPECT_THAT(fault({.host = peak - 1}),
              AllOf(HasSubstr("a rank of stage "), HasSubstr(std::to_string(peak) + " bytes"),
                    HasSubstr(std::to_string(peak - 1))));
}

TEST(FindMemoryFault, KnowsTheDeviceFromTheHost) {
  PlanCosts costs = some_costs();
  costs.own_device = true;
  costs.host_bytes = 5000;
  const Simulation simulation = simulate(make_plan(6, 4, 1, 1, Walk::sweep), costs);
  EXPECT_EQ(simulation.peak_bytes(), 1030);
  EXPECT_EQ(simulation.host_bytes(), 5000 + 15 + 27);
  EXPECT_THAT(find_memory_fault(simulation, costs, {5042, 1030}), IsEmpty());
  EXPECT_THAT(
      find_memory_fault(simulation, costs, {5042, 1029}),
      AllOf(HasSubstr("needs 1030 bytes of its device even with all streams elsewhere"),
            HasSubstr(": 30 for a block that trains, the rest"), HasSubstr("may use 1029")));
  EXPECT_THAT(find_memory_fault(simulation, costs, {5041, 1030}),
              AllOf(HasSubstr("needs 5042 bytes of its host"), HasSubstr("may use 5041")));
}

}  // namespace
}  // namespace bitmill

#include "schedule/cost_model.hpp"

#include <gtest/gtest.h>

namespace bitmill {
namespace {

// A unit takes a second on a thread, everything else nothing.
double epoch_seconds(int64_t batch, int threads, double thread_gain, const Mesh& mesh,
                     int replica) {
  Workload work;
  work.batch = batch;
  work.samples = batch;
  work.unit_flops = 1;
  Machine machine;
  machine.samples_at_once = threads;
  machine.thread_gain = thread_gain;
  return plan_costs(work, machine, mesh, replica).epoch_s;
}

TEST(CostModel, ThreadsTakeSamplesSideBySide) {
  EXPECT_DOUBLE_EQ(epoch_seconds(8, 1, 0.5, {1, 1}, 0), 8);
  EXPECT_DOUBLE_EQ(epoch_seconds(8, 4, 0.5, {1, 1}, 0), 2);
}

TEST(CostModel, ThreadsWithoutASampleOfTheirOwnHelp) {
  EXPECT_DOUBLE_EQ(epoch_seconds(1, 3, 0.5, {1, 1}, 0), 1 / 2.0);      // two help one
  EXPECT_DOUBLE_EQ(epoch_seconds(6, 4, 0.5, {1, 1}, 0), 1 + 1 / 1.5);  // the last two have one each
  EXPECT_DOUBLE_EQ(epoch_seconds(1, 4, 0, {1, 1}, 0), 1);
}

TEST(CostModel, AReplicaHasItsPositionsOfEveryBatch) {
  EXPECT_DOUBLE_EQ(epoch_seconds(3, 1, 0, {1, 2}, 0), 1);
  EXPECT_DOUBLE_EQ(epoch_seconds(3, 1, 0, {1, 2}, 1), 2);
}

TEST(CostModel, StateIsCommittedOnceAnEpoch) {
  Workload work;
  work.batch = work.samples = 4;
  work.learned = 10;
  Machine machine;
  machine.memory_bytes_per_s = 1e12;
  machine.write_latency_s = 5;
  machine.write_bytes_per_s = 60;
  // Ten values and both moments, four bytes each.
  EXPECT_NEAR(plan_costs(work, machine, {1, 1}, 0).epoch_s, 5 + 120 / 60.0, 1e-6);
}

// Ten weights as operands and a byte, twenty learned values with two moments, their sum and its
// slice, and the activations of two samples.
TEST(CostModel, MemoryOfATrainingBlockByHand) {
  Workload work;
  work.batch = work.samples = 4;
  work.weights = 10;
  work.learned = 20;
  work.activation_bytes = 1000;
  Machine machine;
  machine.samples_at_once = 2;
  const PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  const int64_t sums = 3 * 20 + 20;  // 0-1, 2, 3 at once
  EXPECT_EQ(costs.resident_bytes, 10 * 5 + 4 * (20 + 2 * 20 + sums) + 2 * 1000);
  EXPECT_EQ(costs.loaded_bytes, 10 * 5 + 10 * 4);
  work.statistics = 7;
  EXPECT_EQ(plan_costs(work, machine, {1, 1}, 0).loaded_bytes, 90 + 4 * (2 * 7 + 3 * 7 + 7));
}

}  // namespace
}  // namespace bitmill

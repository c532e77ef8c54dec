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

}  // namespace
}  // namespace bitmill

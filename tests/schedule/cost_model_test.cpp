#include "schedule/cost_model.hpp"

#include <gtest/gtest.h>

#include "schedule/rank_memory.hpp"

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

TEST(CostModel, StateIsCommittedOnceAnEpochAndReadOnceATurn) {
  Workload work;
  work.batch = work.samples = 4;
  work.learned = 1000;  // whatever of it the state holds, and how
  work.state_bytes = 120;
  Machine machine;
  machine.memory_bytes_per_s = 1e12;
  machine.write_latency_s = 5;
  machine.write_bytes_per_s = 60;
  machine.read_bytes_per_s = 40;
  const PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  EXPECT_NEAR(costs.epoch_s, 5 + 120 / 60.0, 1e-6);
  EXPECT_DOUBLE_EQ(costs.prepare_s, 120 / 40.0);
}

// A state of 2 s is written while an epoch of 4 s trains; one of 7 s makes the next epoch wait. The
// leader alone holds the copy, and the packed block that is being written.
TEST(CostModel, AStateThatIsWrittenBesideTrainingCostsACopy) {
  Workload work;
  work.batch = work.samples = 4;
  work.unit_flops = 1;
  work.state_bytes = 120;
  work.packed_bytes = 7;
  work.save_beside = true;
  Machine machine;
  machine.memory_bytes_per_s = 480;
  machine.write_bytes_per_s = 60;
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 1}, 0).epoch_s, 4 + 2 * 120 / 480.0);
  machine.write_latency_s = 5;
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 1}, 0).epoch_s, 5 + 120 / 60.0);
  for (const int replica : {0, 1}) {
    const PlanCosts beside = plan_costs(work, machine, {1, 2}, replica);
    Workload waiting = work;
    waiting.save_beside = false;
    const PlanCosts between = plan_costs(waiting, machine, {1, 2}, replica);
    const int64_t more = replica == 0 ? 127 : 0;
    EXPECT_EQ(beside.resident_bytes - between.resident_bytes, more);
    EXPECT_EQ(beside.loaded_bytes - between.loaded_bytes, more);
  }
}

// A device has the time of its parts: a unit of 3 s, 2 s for each sum of two, 1 s a step; a sample
// forward takes 5 s.
TEST(CostModel, ADeviceTakesTheTimeOfItsParts) {
  Workload work;
  work.batch = 4;
  work.samples = 8;
  work.unit_flops = work.forward_flops = 1e9;  // are for processors
  work.on_device = {.forward = {{"", PartKind::kernel, 0, 50, 1}},
                    .unit = {{"", PartKind::product, 60, 0, 1}},
                    .addition = {{"", PartKind::library, 0, 20, 1}},
                    .step = {{"", PartKind::library, 0, 10, 1}}};
  Machine machine;
  machine.unit_flops_per_s = 20;
  machine.memory_bytes_per_s = 10;
  machine.launch_s = 0.125;
  const PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  EXPECT_DOUBLE_EQ(costs.epoch_s, 2 * (4 * 3 + 3 * 2 + 1));
  EXPECT_DOUBLE_EQ(costs.forward_s, 8 * 5);
  machine.launch_s = 0;
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 1}, 0).epoch_s, 8 * 1e9 / 20);
}

TEST(CostModel, StatisticsAreOfEverySampleAndDescentOfTheBlock) {
  Workload work;
  work.batch = 2;
  work.samples = 8;
  work.statistics_flops = 3;
  work.descent_flops = 5;
  Machine machine;
  machine.forward_flops_per_s = 2;
  machine.samples_at_once = 4;
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 1}, 0).first_s, (8 * 3 + 5) / 8.0);
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 2}, 1).first_s, (4 * 3 + 5) / 8.0);
}

TEST(CostModel, ExchangeOfAStepByHand) {
  Workload work;
  work.batch = work.samples = 8;
  work.learned = 60;
  EXPECT_EQ(exchange_bytes(work, 1), 0);
  EXPECT_EQ(exchange_bytes(work, 2), (1 + 1) * 240 / 2);  // a partial sum, and the new values
  EXPECT_EQ(exchange_bytes(work, 4), (1 + 1) * 240 * 3 / 4);
  // Positions 0; 1, 2; 3; 4, 5; 6, 7: the second replica cannot add its two.
  EXPECT_EQ(exchange_bytes(work, 5), (2 + 1) * 240 * 4 / 5);
}

// Of 16 positions the middle one of three replicas has 5 to 9: three partial sums, and the last one
// 10 to 15: two.
TEST(CostModel, AStageTakesTheTimeOfItsLastReplicaAndTheMemoryOfTheWidest) {
  Workload work;
  work.batch = work.samples = 16;
  work.learned = 300;
  work.unit_flops = 1;
  const Machine machine;
  const Mesh mesh{1, 3};
  const PlanCosts middle = plan_costs(work, machine, mesh, 1);
  const PlanCosts last = plan_costs(work, machine, mesh, 2);
  ASSERT_GT(middle.resident_bytes, last.resident_bytes);
  const PlanCosts stage = stage_costs(work, machine, mesh);
  EXPECT_EQ(stage.resident_bytes, middle.resident_bytes);
  EXPECT_EQ(stage.epoch_s, last.epoch_s);
  EXPECT_GT(stage.epoch_s, middle.epoch_s);
}

TEST(CostModel, AHostOfItsOwnHoldsTheProcessABlockAndWhatIsAssembled) {
  Workload work;
  work.batch = work.samples = 1;
  work.source_bytes = 10;
  work.packed_bytes = 3;
  work.assembly_bytes = 2;
  work.header_bytes = 40;
  Machine machine;
  EXPECT_EQ(plan_costs(work, machine, {1, 1}, 0).assembly_bytes, 2) << "one memory";
  EXPECT_EQ(plan_costs(work, machine, {1, 1}, 0).header_bytes, 40);
  machine.host_fixed_bytes = 100;
  work.weights = 7;
  work.learned = 1;
  work.state_bytes = 1000;
  work.save_beside = true;
  EXPECT_EQ(host_block_bytes(work, machine, /*leads=*/false), 100 + 7 * 5 + 3);
  EXPECT_EQ(host_block_bytes(work, machine, true), 100 + 7 * 5 + 3 + 1000 + 3);
  work.learned = 10;
  EXPECT_EQ(host_block_bytes(work, machine, false), 100 + 7 + 10 * 8 + 3) << "first values, twice";
  EXPECT_EQ(rank_host_bytes(plan_costs(work, machine, {1, 1}, 0), 0, /*assembles=*/true),
            100 + 7 + 10 * 8 + 3 + 1000 + 3 + 42);
}

TEST(CostModel, HashingAloneMayBeFasterThanReading) {
  Workload work;
  work.batch = work.samples = 1;
  work.kept_bytes = 4000;
  work.packed_bytes = 1000;
  work.blocks = 2;
  Machine machine;
  machine.read_bytes_per_s = 100;
  machine.write_bytes_per_s = 1000;
  machine.start_s = 3;
  EXPECT_DOUBLE_EQ(end_costs(work, machine, 2).before_s, 3 + 20);
  EXPECT_DOUBLE_EQ(end_costs(work, machine, 2).after_s, 6 + 60);
  machine.hash_bytes_per_s = 500;
  EXPECT_DOUBLE_EQ(end_costs(work, machine, 2).before_s, 3 + 4);
  EXPECT_DOUBLE_EQ(end_costs(work, machine, 2).after_s, 6 + 12);
}

// Ten weights as operands and a byte, twenty learned values with two moments, their sums, and
// the activations of two samples.
TEST(CostModel, MemoryOfATrainingBlockByHand) {
  Workload work;
  work.batch = work.samples = 4;
  work.weights = 10;
  work.learned = 20;
  work.activation_bytes = 900;
  work.product_bytes = 100;
  Machine machine;
  machine.samples_at_once = 2;
  const PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  const int64_t sums = 3 * 20;  // 0-1, 2, 3 at once
  EXPECT_EQ(costs.resident_bytes, 10 * 5 + 4 * (20 + 2 * 20 + sums) + 2 * 1000);
  EXPECT_EQ(costs.loaded_bytes, 10 * 5 + 10 * 4);
  work.statistics = 7;
  EXPECT_EQ(plan_costs(work, machine, {1, 1}, 0).loaded_bytes, 90 + 4 * (2 * 7 + 3 * 7));
  work.statistics = 0;
  machine.weight_bytes = 2;
  const PlanCosts narrow = plan_costs(work, machine, {1, 1}, 0);
  EXPECT_EQ(narrow.resident_bytes, costs.resident_bytes - 10 * 2);
  EXPECT_EQ(narrow.loaded_bytes, 10 * 3 + 10 * (4 + 2)) << "the teacher's weights in both types";
}

// One unit at a time: 0, 1 and the sum 0-1 of four samples' units, of twenty learned values.
TEST(CostModel, MemoryOfADeviceByHand) {
  Workload work;
  work.batch = work.samples = 4;
  work.learned = 20;
  work.device = {.operand_bytes = 100,
                 .unit_bytes = 50,
                 .weight_bytes = 70,
                 .forward_bytes = 30,
                 .sample_bytes = 5,
                 .arriving_bytes = 8};
  Machine machine;
  machine.host_fixed_bytes = 1;
  machine.fixed_bytes = 1000;
  PlanCosts costs = plan_costs(work, machine, {1, 1}, 0);
  const int64_t block = 100 + 50 + 3 * 5 + 4 * (20 + 2 * 20 + 3 * 20);
  EXPECT_EQ(costs.resident_bytes, block);
  EXPECT_EQ(costs.loaded_bytes, 70 + 30 + 5);
  EXPECT_EQ(stream_tiers(costs, 1 << 30).device, 1 << 30) << "no limit is known";
  machine.memory_bytes = 1000 + block + 28;
  costs = plan_costs(work, machine, {1, 1}, 0);
  EXPECT_EQ(stream_tiers(costs, 28).device, 28);
  EXPECT_EQ(rank_peak_bytes(costs, 28, false), machine.memory_bytes);
  EXPECT_EQ(stream_tiers(costs, 29).device, 20) << "samples arrive from the host";
  EXPECT_EQ(stream_tiers(costs, 29).memory, 9);
  EXPECT_EQ(rank_peak_bytes(costs, 29, false), machine.memory_bytes);
  work.statistics = 7;
  EXPECT_EQ(plan_costs(work, machine, {1, 1}, 0).loaded_bytes, 105 + 4 * (2 * 7 + 3 * 7));
}

// Four samples of 10 bytes a stream; a second for each of: reading a block, sending a stream
// through it, reading it packed.
struct Resumed {
  Resumed() {
    work.batch = work.samples = 4;
    work.seq_len = 1;
    work.hidden = 10;
    work.stream_bytes = 1;
    work.source_bytes = 40;
    work.packed_bytes = 40;
    work.forward_flops = 1;
    machine.read_bytes_per_s = 40;
    machine.write_bytes_per_s = 20;
    machine.forward_flops_per_s = 4;
    machine.link_bytes_per_s = 1e9;
  }
  ResumeCosts costs(const Mesh& mesh, int band) const {
    return resume_costs(work, machine, mesh, band);
  }

  Workload work;
  Machine machine;
};

TEST(ResumeCosts, OfOneTurnOnOneStageByHand) {
  const ResumeCosts one = Resumed().costs({1, 1}, 1);
  EXPECT_DOUBLE_EQ(one.replay_s, 1 + 1 + 2);
  EXPECT_DOUBLE_EQ(one.compare_s, 1);
  EXPECT_EQ(one.streams_bytes, 2 * 40);
  EXPECT_DOUBLE_EQ(one.streams_s, 80 / 20.0 + 80 / 40.0 + 80 / 40.0);  // written, compared, read
  EXPECT_EQ(one.blocks_worth_keeping(), 3);
  EXPECT_FALSE(one.keeps(2));
  EXPECT_TRUE(one.keeps(3));
}

// The weights of a block are compared also where it is not replayed.
TEST(ResumeCosts, WhatIsComparedInAnyCaseIsNotSpared) {
  const ResumeCosts costs = {4, 8, 80, 3};
  EXPECT_EQ(costs.blocks_worth_keeping(), 9);
  EXPECT_FALSE(costs.keeps(8));
  EXPECT_TRUE(costs.keeps(9));
}

// Four turns: each reads the blocks again, and there are five streams.
TEST(ResumeCosts, OfABandAreSharedByItsStages) {
  const Resumed resumed;
  const ResumeCosts alone = resumed.costs({1, 1}, 4), shared = resumed.costs({4, 1}, 4);
  EXPECT_DOUBLE_EQ(alone.replay_s, 4 * 2 + 5);
  EXPECT_DOUBLE_EQ(shared.replay_s, (4 * 2 + 5) / 4.0);
  EXPECT_EQ(alone.streams_bytes, 4 * 80);
  EXPECT_EQ(shared.streams_bytes, 4 * 80);
  EXPECT_DOUBLE_EQ(alone.streams_s, 4 * 8);
  EXPECT_DOUBLE_EQ(shared.streams_s, 8);  // each writes and reads two of the eight streams
}

TEST(ResumeCosts, StagesBeyondTheTurnsOfABandDoNotHelp) {
  const Resumed resumed;
  EXPECT_DOUBLE_EQ(resumed.costs({4, 1}, 2).replay_s, (2 * 2 + 3) / 2.0);
  EXPECT_DOUBLE_EQ(resumed.costs({4, 1}, 1).replay_s, resumed.costs({1, 1}, 1).replay_s);
}

TEST(ResumeCosts, ASlowLinkHoldsAReplayUp) {
  Resumed resumed;
  resumed.machine.link_bytes_per_s = 40 / 10.0;  // a stream travels ten seconds
  EXPECT_DOUBLE_EQ(resumed.costs({4, 1}, 4).replay_s, 5 * 10 / 4.0);
  EXPECT_DOUBLE_EQ(resumed.costs({1, 1}, 4).replay_s, 4 * 2 + 5) << "nothing travels";
}

TEST(ResumeCosts, ReplicasShareSamplesButNotBlocks) {
  const ResumeCosts two = Resumed().costs({1, 2}, 1);
  EXPECT_DOUBLE_EQ(two.replay_s, 1 + 1 + 2 / 2.0);
  EXPECT_DOUBLE_EQ(two.compare_s, 1 / 2.0);
  EXPECT_DOUBLE_EQ(two.streams_s, 4);
}

}  // namespace
}  // namespace bitmill

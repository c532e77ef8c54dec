// That everything is measured, and that what is measured goes together. How good the figures are,
// tests/bench/plan_check.py says.

#include "pipeline/checks/measure_machine.hpp"

#include <gtest/gtest.h>

#include "comm/waiting_communicator.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/tiny_job.hpp"

namespace bitmill {
namespace {

class MeasureMachine : public TinyJob {
 protected:
  // Of rank 0. Every message waits for its receiver.
  Machine measure(const QuantizeOptions& o, int ranks, int threads, int threads_of_others = 0) {
    Machine result;
    Traffic traffic;
    traffic.patience_s = 60;
    run_ranks(ranks, [&](Communicator& world) {
      WaitingCommunicator comm(world, traffic);
      at::set_num_threads(1);
      const bool other = comm.rank() > 0 && threads_of_others > 0;
      ThreadPool pool(other ? threads_of_others : threads, [] { at::set_num_threads(1); });
      const std::string folder = folder_ / ("trial-" + std::to_string(comm.rank()));
      const Machine machine =
          measure_machine(o, *files_, folder, comm, pool, {.link_latency_s = 77}, 0.2);
      EXPECT_FALSE(files_->exists(folder));
      EXPECT_FALSE(comm.rank() > 0 && machine.unit_flops_per_s <= 1);
      if (comm.rank() == 0) result = machine;
      world.barrier();  // a rank that left could not be asked for messages
    });
    return result;
  }
};

// Three of the five seconds are those of reading.
TEST(PrepareRate, ReadingTheStateIsCountedOnce) {
  Workload work;
  work.batch = work.samples = 1;
  work.weights = 1000;
  work.state_bytes = 600;
  Machine machine;
  machine.read_bytes_per_s = 200;
  machine.prepare_weights_per_s = prepare_rate(work, machine, 5);
  EXPECT_DOUBLE_EQ(machine.prepare_weights_per_s, 1000 / 2.0);
  EXPECT_DOUBLE_EQ(plan_costs(work, machine, {1, 1}, 0).prepare_s, 5);
}

TEST_F(MeasureMachine, EveryRateIsMeasuredForAnyBatchAndThreads) {
  QuantizeOptions o = options("out");
  for (const int64_t batch : {1, 3}) {
    for (const int threads : {1, 2}) {
      o.batch = batch;
      const Machine machine = measure(o, 1, threads);
      EXPECT_EQ(machine.samples_at_once, threads);
      EXPECT_EQ(machine.link_latency_s, 77) << "one rank has no link";
      for (const double rate :
           {machine.unit_flops_per_s, machine.forward_flops_per_s, machine.prepare_weights_per_s,
            machine.pack_weights_per_s, machine.memory_bytes_per_s, machine.read_bytes_per_s,
            machine.hash_bytes_per_s, machine.write_bytes_per_s}) {
        EXPECT_GT(rate, 1e3) << "batch " << batch << ", " << threads << " threads";
      }
      EXPECT_GT(machine.write_latency_s, 0);
    }
  }
}

TEST_F(MeasureMachine, SeveralRanksMeasureTheirLink) {
  const Machine machine = measure(options("out"), 3, 1);
  EXPECT_LT(machine.link_latency_s, 1);
  EXPECT_GT(machine.link_bytes_per_s, 1e3);
}

// A bound rank may have fewer processors than the others.
TEST_F(MeasureMachine, RanksMayHaveDifferentNumbersOfThreads) {
  for (const int threads : {1, 2}) {
    const Machine machine = measure(options("out"), 2, threads, 3 - threads);
    EXPECT_EQ(machine.samples_at_once, threads);
    EXPECT_GT(machine.unit_flops_per_s, 1e3);
  }
}

// All that is learned is trained in the trial, too.
TEST_F(MeasureMachine, LearnedSignsAreMeasuredLikeTheRest) {
  QuantizeOptions o = options("out");
  o.method.learned.signs = true;
  EXPECT_GT(measure(o, 1, 1).unit_flops_per_s, 1e3);
}

}  // namespace
}  // namespace bitmill

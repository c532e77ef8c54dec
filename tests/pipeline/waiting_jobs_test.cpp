// Whole jobs where no message is sent before its receiver takes it, and no collective call ends
// before all ranks have come: nothing may rely on an MPI that sends small messages at once.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>

#include "comm/waiting_communicator.hpp"
#include "pipeline/tune_job.hpp"

namespace bitmill {
namespace {

class WaitingJobs : public Tune {
 protected:
  // Runs `job` on every rank. Returns how many ranks stopped.
  static int on_waiting_ranks(int ranks,
                              const std::function<void(Communicator&, ThreadPool&)>& job) {
    Traffic traffic;
    traffic.patience_s = 60;  // threads may wait long for a processor
    std::atomic<int> stopped = 0;
    on_ranks(ranks, 1, [&](Communicator& threads, ThreadPool& pool) {
      WaitingCommunicator waiting(threads, traffic);
      try {
        job(waiting, pool);
      } catch (const AgreedStop&) {
        ++stopped;
      }
      threads.barrier();  // a rank that left could not be asked for messages
    });
    EXPECT_TRUE(stopped == 0 || stopped == ranks) << stopped << " of " << ranks;
    return stopped;
  }

  int quantize_waiting(const QuantizeOptions& o, int ranks) {
    return on_waiting_ranks(ranks, [&](Communicator& comm, ThreadPool& pool) {
      QuantizeObserver silent;
      check_and_quantize(o, *files_, comm, pool, silent, control_);
    });
  }

  int tune_waiting(const TuneOptions& o, int ranks) {
    return on_waiting_ranks(ranks, [&](Communicator& comm, ThreadPool& pool) {
      TuneObserver silent;
      check_and_tune(o, *files_, comm, pool, silent, control_);
    });
  }

  // From now on every start is asked to stop when all its ranks together have asked `questions`
  // times.
  void stop_after(int questions) {
    control_.wishes.asked = [left = std::make_shared<std::atomic<int>>(questions)] {
      return (*left)-- <= 0 ? "SIGTERM" : "";
    };
  }
  void stop_no_more() {
    control_.wishes.asked = [] { return ""; };
  }
};

constexpr std::array<Mesh, 5> waiting_meshes = {{{1, 2}, {2, 1}, {2, 2}, {3, 1}, {1, 3}}};

TEST_F(WaitingJobs, QuantizeGivesTheBytesOfOneRankStoppedOrNot) {
  use_blocks(3);
  const auto job = [&](const std::string& name, const Mesh& mesh) {
    QuantizeOptions o = options(name);
    o.samples = 6;
    o.batch = 3;
    o.lag = 1;
    o.stages = mesh.stages;
    return o;
  };
  run(job("one", {1, 1}));
  int stops = 0;
  for (size_t i = 0; i < waiting_meshes.size(); ++i) {
    const Mesh& mesh = waiting_meshes[i];
    const QuantizeOptions o = job(fmt::format("{}x{}", mesh.stages, mesh.replicas), mesh);
    const int beyond = static_cast<int>(i % 2);  // a rank without work
    EXPECT_EQ(quantize_waiting(o, mesh.ranks() + beyond), 0);
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("one")) << o.output_dir;

    const QuantizeOptions stopped = job(file_name(o.output_dir) + "-stopped", mesh);
    for (const int questions : {9, 25, 60}) {
      stop_after(questions);
      stops += quantize_waiting(stopped, mesh.ranks() + beyond) > 0;
    }
    stop_no_more();
    EXPECT_EQ(quantize_waiting(stopped, mesh.ranks() + beyond), 0);
    EXPECT_TRUE(bytes(file_name(stopped.output_dir)) == bytes("one")) << stopped.output_dir;
  }
  EXPECT_GE(stops, 10);
}

TEST_F(WaitingJobs, TuneGivesTheBytesOfOneRankStoppedOrNot) {
  pack(3);
  const auto job = [&](const std::string& name, const Mesh& mesh) {
    TuneOptions o = tuning(name);
    o.batch = 4;
    o.stages = mesh.stages;
    return o;
  };
  tune_on(job("one", {1, 1}));
  int stops = 0;
  for (const Mesh& mesh : waiting_meshes) {
    const TuneOptions o = job(fmt::format("t{}x{}", mesh.stages, mesh.replicas), mesh);
    EXPECT_EQ(tune_waiting(o, mesh.ranks()), 0);
    EXPECT_TRUE(bytes(file_name(o.output_dir)) == bytes("one")) << o.output_dir;

    const TuneOptions stopped = job(file_name(o.output_dir) + "-stopped", mesh);
    for (const int questions : {2, 12, 20}) {
      stop_after(questions);
      stops += tune_waiting(stopped, mesh.ranks()) > 0;
    }
    stop_no_more();
    EXPECT_EQ(tune_waiting(stopped, mesh.ranks()), 0);
    EXPECT_TRUE(bytes(file_name(stopped.output_dir)) == bytes("one")) << stopped.output_dir;
  }
  EXPECT_GE(stops, 10);
}

}  // namespace
}  // namespace bitmill

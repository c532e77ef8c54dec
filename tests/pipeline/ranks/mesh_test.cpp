// Random meshes, ranks as threads: whatever the mesh, the walk, the stops and the deaths, the chain
// of hashes is that of one rank. So it is where every message waits for its receiver.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>

#include "base/error.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/waiting_communicator.hpp"
#include "pipeline/blocks/executor.hpp"
#include "pipeline/hash_compute.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

using testing_chain::HashCompute;
using testing_chain::HashStore;

using Packed = std::map<std::pair<int, int>, std::string>;

struct Work {
  int blocks, epochs, lag;
  int64_t steps;
};

struct Shape {
  Mesh mesh;
  Walk walk;
};

// What befalls one rank of a start.
struct Event {
  enum class Kind { none, signal, death } kind = Kind::none;
  int rank = 0;
  int at = 0;  // questions, or calls, before it
};

std::string describe(const Work& work, const Shape& shape) {
  return fmt::format("{} blocks, {} epochs, lag {}, {} steps on {} x {}, {}", work.blocks,
                     work.epochs, work.lag, work.steps, shape.mesh.stages, shape.mesh.replicas,
                     shape.walk == Walk::wavefront ? "wavefront" : "sweep");
}

enum class Ending { done, stopped, died };

// How messages travel: at once, or when their receiver takes them.
enum class Sends { eager, waiting };

// One start on all ranks. Every rank ends in the same way, and nobody hangs.
Ending start(const Work& work, const Shape& shape, HashStore& store, const Event& event = {},
             Sends sends = Sends::eager) {
  const Plan plan = make_plan(work.blocks, work.epochs, work.lag, shape.mesh.stages, shape.walk);
  const std::vector<BlockDone> done = store.done(plan);
  const KeptStreams kept = store.kept_for(plan);
  std::atomic<int> stopped = 0, lost = 0;
  Traffic traffic;
  traffic.patience_s = 60;  // threads may wait long for a processor
  const auto body = [&](Communicator& threads) {
    std::unique_ptr<Communicator> waiting;
    if (sends == Sends::waiting) waiting = std::make_unique<WaitingCommunicator>(threads, traffic);
    Communicator& world = waiting ? *waiting : threads;
    MeshRank rank(shape.mesh, world);
    HashCompute compute(plan, work.steps, store, &rank);
    const bool hit = world.rank() == event.rank;
    if (hit && event.kind == Event::Kind::death) compute.die_after(size_t(event.at));
    StopWishes wishes;
    wishes.asked = [&, questions = 0]() mutable {
      return hit && event.kind == Event::Kind::signal && questions++ >= event.at ? "SIGTERM" : "";
    };
    StopControl stop(rank, wishes);
    Observer observer;
    try {
      execute(plan, rank.stage(), done, compute, stop, observer, kept);
      lost += static_cast<int>(compute.left_over());
    } catch (const AgreedStop& stop_error) {
      EXPECT_NE(std::string(stop_error.what()).find("SIGTERM"), std::string::npos);
      ++stopped;
    }
    threads.barrier();  // a rank that left could not be asked for messages
  };
  try {
    run_ranks(shape.mesh.ranks(), body);
  } catch (const CommError&) {
    EXPECT_EQ(event.kind, Event::Kind::death) << describe(work, shape);
    return Ending::died;
  }
  EXPECT_TRUE(stopped == 0 || stopped == shape.mesh.ranks()) << describe(work, shape);
  EXPECT_EQ(lost, 0) << describe(work, shape);
  return stopped > 0 ? Ending::stopped : Ending::done;
}

class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}

  int pick(int low, int high) { return std::uniform_int_distribution(low, high)(random_); }

  Work work() {
    const int turns = pick(1, 5), lag = pick(1, 2);
    return {pick(1, 7), turns * lag, lag, pick(1, 2)};
  }
  Shape shape() {
    return {{pick(1, 5), pick(1, 3) == 1 ? pick(2, 3) : 1},
            pick(0, 1) == 0 ? Walk::wavefront : Walk::sweep};
  }
  Event event(const Mesh& mesh) {
    return {pick(0, 1) == 0 ? Event::Kind::signal : Event::Kind::death, pick(0, mesh.ranks() - 1),
            pick(0, 60)};
  }

 private:
  std::mt19937 random_;
};

Packed packed_by_one_rank(const Work& work) {
  HashStore store;
  start(work, {{1, 1}, Walk::sweep}, store);
  return store.packed;
}

TEST(Mesh, PacksTheSameOnAThousandRandomMeshes) {
  Dice dice(1);
  for (int i = 0; i < 1000; ++i) {
    const Work work = dice.work();
    const Shape shape = dice.shape();
    HashStore store;
    ASSERT_EQ(start(work, shape, store), Ending::done) << describe(work, shape);
    ASSERT_EQ(store.packed, packed_by_one_rank(work)) << describe(work, shape);
  }
}

TEST(Mesh, PacksTheSameWhereNothingIsSentBeforeItIsTaken) {
  Dice dice(3);
  for (int i = 0; i < 200; ++i) {
    const Work work = dice.work();
    const Shape shape = dice.shape();
    HashStore store;
    ASSERT_EQ(start(work, shape, store, {}, Sends::waiting), Ending::done) << describe(work, shape);
    ASSERT_EQ(store.packed, packed_by_one_rank(work)) << describe(work, shape);
  }
}

struct EndingCounts {
  int stops = 0, deaths = 0;
};

// Every turn goes on at the block that it had come to, whatever was under way between the stages.
TEST(Mesh, AfterAStopNoTurnIsReplayedFromItsBeginning) {
  Dice dice(5);
  int stops = 0;
  for (int i = 0; i < 300; ++i) {
    const Work work = dice.work();
    const Shape shape = dice.shape();
    const Event event = {Event::Kind::signal, dice.pick(0, shape.mesh.ranks() - 1),
                         dice.pick(0, 60)};
    HashStore store;
    if (start(work, shape, store, event, i % 2 == 0 ? Sends::eager : Sends::waiting) !=
        Ending::stopped) {
      continue;
    }
    ++stops;
    const Plan plan = make_plan(work.blocks, work.epochs, work.lag, shape.mesh.stages, shape.walk);
    const Remaining remaining(plan, store.done(plan), store.kept_for(plan));
    for (int block = 1; block < work.blocks; ++block) {
      for (int turn = 0; turn < plan.turns(); ++turn) {
        if (block == remaining.start(turn)) continue;  // packed, and not yet handed on
        ASSERT_NE(remaining.visit(block, turn), Manner::replay)
            << block << " at turn " << turn << ", event at " << event.at << " on rank "
            << event.rank << ", " << describe(work, shape);
      }
    }
    ASSERT_EQ(start(work, shape, store), Ending::done) << describe(work, shape);
    ASSERT_EQ(store.packed, packed_by_one_rank(work)) << describe(work, shape);
  }
  EXPECT_GT(stops, 100);
}

// Runs that are stopped or killed up to three times, each start on another mesh.
EndingCounts disturb(unsigned seed, int runs, Sends sends) {
  Dice dice(seed);
  EndingCounts endings;
  for (int i = 0; i < runs; ++i) {
    const Work work = dice.work();
    HashStore store;
    std::string history;
    for (int starts = 0;; ++starts) {
      const Shape shape = dice.shape();
      const Event event = starts < 3 ? dice.event(shape.mesh) : Event{};
      history += fmt::format("{} (event {} on rank {} at {})\n", describe(work, shape),
                             static_cast<int>(event.kind), event.rank, event.at);
      const Ending ending = start(work, shape, store, event, sends);
      if (testing::Test::HasFailure()) {
        ADD_FAILURE() << history;
        return endings;
      }
      endings.stops += ending == Ending::stopped;
      endings.deaths += ending == Ending::died;
      if (ending == Ending::done) break;
    }
    EXPECT_EQ(store.packed, packed_by_one_rank(work)) << history;
  }
  return endings;
}

TEST(Mesh, StoppedOrKilledAnywhereItGoesOnOnAnyOtherMesh) {
  const EndingCounts endings = disturb(2, 150, Sends::eager);
  EXPECT_GT(endings.stops, 50);
  EXPECT_GT(endings.deaths, 50);
}

TEST(Mesh, StoppedOrKilledItGoesOnWhereNothingIsSentBeforeItIsTaken) {
  const EndingCounts endings = disturb(4, 80, Sends::waiting);
  EXPECT_GT(endings.stops, 25);
  EXPECT_GT(endings.deaths, 25);
}

}  // namespace
}  // namespace bitmill

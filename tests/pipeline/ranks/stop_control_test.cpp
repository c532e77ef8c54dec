// Leaving together: ranks as threads, between which a message may wait for its receiver.

#include "pipeline/ranks/stop_control.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/pause.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/waiting_communicator.hpp"
#include "pipeline/ranks/idle_ranks.hpp"
#include "pipeline/ranks/mesh_rank.hpp"

namespace bitmill {
namespace {

using testing::AllOf;
using testing::Each;
using testing::SizeIs;

void run_waiting_ranks(int size, const std::function<void(Communicator&)>& body) {
  Traffic traffic;
  run_ranks(size, [&](Communicator& world) {
    WaitingCommunicator waiting(world, traffic);
    body(waiting);
    world.barrier();  // a rank that left could not be asked for messages
  });
}

StopWishes wishing(const std::string& reason) {
  StopWishes wishes;
  wishes.asked = [reason] { return reason; };
  return wishes;
}

// What `leaves` throws, or "went on" where it returns.
std::string ending(const std::function<void()>& leaves) {
  try {
    leaves();
  } catch (const AgreedStop& stop) {
    return stop.what();
  }
  return "went on";
}

using Endings = std::vector<std::string>;

TEST(StopControl, OneWishMakesAllRanksLeaveWithTheSameWords) {
  for (const int ranks : {1, 2, 3, 5}) {
    for (int wishes = 0; wishes < ranks; ++wishes) {
      Endings endings(static_cast<size_t>(ranks));
      run_waiting_ranks(ranks, [&](Communicator& world) {
        StopControl stop(world, wishing(world.rank() == wishes ? "SIGTERM" : ""));
        endings[static_cast<size_t>(world.rank())] = ending([&] {
          if (stop.stop_here()) stop.leave("here");
        });
      });
      EXPECT_THAT(endings, Each("SIGTERM: stopped here. Run the same command again to go on"));
    }
  }
}

TEST(StopControl, WithoutAWishAllRanksGoOn) {
  run_waiting_ranks(3, [&](Communicator& world) {
    StopControl stop(world, wishing(""));
    EXPECT_FALSE(stop.stop_here());
    EXPECT_FALSE(stop.wait_or_stop([] { return true; }));
    EXPECT_FALSE(stop.finish_or_stop([] {}));
  });
}

TEST(StopControl, ALongReasonIsCutAlikeOnTheRankThatHasItAndOnTheOthers) {
  Endings endings(3);
  run_waiting_ranks(3, [&](Communicator& world) {
    StopControl stop(world, wishing(world.rank() == 1 ? std::string(100, 'x') : ""));
    endings[static_cast<size_t>(world.rank())] = ending([&] {
      if (stop.wait_or_stop([] { return false; })) stop.leave("here");
    });
  });
  EXPECT_THAT(endings, Each(AllOf(testing::StartsWith(std::string(78, 'x') + ": stopped"))));
}

// The others say that they are ready just when the leader has decided to stop.
TEST(StopControl, AReportAndTheDecisionMayCross) {
  for (const int ranks : {2, 3}) {
    Endings endings(static_cast<size_t>(ranks));
    std::atomic<int> ready = 0;
    std::atomic<bool> decides = false;
    run_waiting_ranks(ranks, [&](Communicator& world) {
      StopWishes wishes;
      wishes.asked = [&]() -> std::string {
        if (world.rank() != 0) return "";
        decides = true;
        for (Pause pause; ready < ranks - 1;) pause();
        return "SIGTERM";
      };
      StopControl stop(world, wishes);
      const auto is_ready = [&, told = false]() mutable {
        if (world.rank() == 0) return false;
        if (!std::exchange(told, true)) ++ready;
        for (Pause pause; !decides;) pause();
        return true;
      };
      endings[static_cast<size_t>(world.rank())] = ending([&] {
        if (stop.wait_or_stop(is_ready)) stop.leave("here");
      });
    });
    EXPECT_THAT(endings, Each(testing::StartsWith("SIGTERM: stopped here")));
  }
}

TEST(StopControl, AWishAtOneStageReachesThoseThatWaitForAnother) {
  constexpr int stages = 3;
  Endings endings(stages);
  run_waiting_ranks(stages, [&](Communicator& world) {
    MeshRank rank({stages, 1}, world);
    StopControl stop(rank, wishing(rank.stage() == 1 ? "SIGTERM" : ""));
    endings[static_cast<size_t>(world.rank())] = ending([&] {
      const bool leaves =
          rank.stage() == 1 ? stop.stop_here() : stop.wait_or_stop([] { return false; });
      if (leaves) stop.leave(fmt::format("at stage {}", rank.stage()));
    });
  });
  for (int stage = 0; stage < stages; ++stage) {
    EXPECT_EQ(
        endings[static_cast<size_t>(stage)],
        fmt::format("SIGTERM: stopped at stage {}. Run the same command again to go on", stage));
  }
}

StopWishes hurried(const std::string& after) {
  StopWishes wishes;
  wishes.deadline = std::chrono::steady_clock::now();
  wishes.after_deadline = after;
  return wishes;
}

// What only one rank knows, such as the time, decides nothing before the ranks have agreed on it.
TEST(StopControl, TheClockOfOneRankStopsThemAllAtTheSameQuestion) {
  for (const int ranks : {2, 3, 5}) {
    std::vector<int> left_at(static_cast<size_t>(ranks), -1);
    run_waiting_ranks(ranks, [&](Communicator& world) {
      StopWishes wishes;
      if (world.rank() == ranks - 1) {
        // A step takes no time, so a second is asked for, and a bit more is left.
        wishes.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(1020);
      }
      StopControl stop(world, wishes);
      int question = 0;
      for (; !stop.stop_here(); ++question)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      left_at[static_cast<size_t>(world.rank())] = question;
    });
    EXPECT_GT(left_at[0], 0);
    EXPECT_THAT(left_at, Each(left_at[0]));
  }
}

// Whether another start gets further depends on why this one stopped.
TEST(StopControl, ATimeLimitAdvisesAnotherStartOnlyWhereThisOneSavedSomething) {
  run_waiting_ranks(1, [&](Communicator& world) {
    StopControl in_vain(world, hurried("Ask for another job"));
    EXPECT_EQ(ending([&] {
                if (in_vain.stop_here()) in_vain.leave("here");
              }),
              "the time limit: stopped here. No training was saved within it: give a start more "
              "time");
    StopControl saved(world, hurried("Ask for another job"));
    saved.save_took(0.1);
    EXPECT_EQ(ending([&] {
                if (saved.stop_here()) saved.leave("here");
              }),
              "the time limit: stopped here. Ask for another job");
  });
}

// What `work` does on the first `at_work` ranks, and all ranks in the end.
Endings beside_idle_ranks(int ranks, int at_work, const std::vector<StopWishes>& wishes,
                          const std::function<void(const StopWishes&)>& work) {
  Endings endings(static_cast<size_t>(ranks));
  run_waiting_ranks(ranks, [&](Communicator& world) {
    const auto rank = static_cast<size_t>(world.rank());
    endings[rank] = ending([&] { work_beside_idle_ranks(world, at_work, wishes[rank], work); });
  });
  return endings;
}

TEST(IdleRanks, AWishOfOneOfThemStopsTheWorkAndThemAll) {
  for (const int ranks : {2, 3, 30}) {
    std::vector<StopWishes> wishes(static_cast<size_t>(ranks));
    wishes.back() = wishing("SIGUSR1");
    const Endings endings = beside_idle_ranks(ranks, 1, wishes, [](const StopWishes& heard) {
      std::string why;
      for (Pause pause; why.empty(); why = heard.asked()) pause();
      throw AgreedStop(why + ": stopped");
    });
    EXPECT_THAT(endings, Each("SIGUSR1: stopped"));
  }
}

TEST(IdleRanks, WhenTheWorkIsDoneAllGoOnThoughOneWishesToStopTooLate) {
  std::vector<StopWishes> wishes(4);
  wishes[3] = wishing("SIGUSR1");
  EXPECT_THAT(beside_idle_ranks(4, 2, wishes, [](const StopWishes&) {}), Each("went on"));
}

TEST(IdleRanks, AWorldWithoutThemWorksAsIfAlone) {
  const std::vector<StopWishes> wishes(2);
  const auto stops = [](const StopWishes&) { throw AgreedStop("SIGTERM: stopped"); };
  EXPECT_THAT(beside_idle_ranks(2, 2, wishes, stops), AllOf(SizeIs(2), Each("SIGTERM: stopped")));
}

// The idle rank says its wish just when rank 0 says that the work is done.
TEST(IdleRanks, AWishAndTheEndMayCross) {
  std::atomic<bool> wishes_now = false, ends_now = false;
  std::vector<StopWishes> wishes(2);
  wishes[1].asked = [&] {
    wishes_now = true;
    for (Pause pause; !ends_now;) pause();
    return "SIGUSR1";
  };
  const auto work = [&](const StopWishes&) {
    for (Pause pause; !wishes_now;) pause();
    ends_now = true;
  };
  EXPECT_THAT(beside_idle_ranks(2, 1, wishes, work), Each("went on"));
}

}  // namespace
}  // namespace bitmill

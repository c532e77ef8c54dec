// A job in which one rank hangs: the watchdog names that rank, and none of those that wait for it,
// wherever they wait.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "base/pause.hpp"
#include "channel/channel.hpp"
#include "channel/host_form.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/waiting_communicator.hpp"
#include "comm/watch/watchdog.hpp"
#include "comm/watch/watched_communicator.hpp"
#include "pipeline/ranks/idle_ranks.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// What the judge found, and whether it has.
struct Verdict {
  std::mutex mutex;
  Trouble trouble;  // guarded by mutex
  std::atomic<bool> found = false;
  std::atomic<int> left = 0;
};

// A rank hears of the verdict a moment after the rank that gave it.
void wait_for_all_to_leave(const Verdict& verdict, int ranks) {
  for (int tenths = 0; verdict.left < ranks && tenths < 600; ++tenths) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// Runs `body` on ranks between which every message waits for its receiver, under a watchdog. `body`
// must end when verdict.found.
void run_under_watch(int ranks, Verdict& verdict, const std::function<void(Communicator&)>& body) {
  Traffic traffic;
  traffic.patience_s = 60;
  run_ranks(ranks, [&](Communicator& threads) {
    WaitingCommunicator waiting(threads, traffic);
    WatchedCommunicator world(waiting);
    WatchdogSettings settings;
    settings.timeout = 2;
    settings.interval = 0.1;
    WatchdogCalls calls;
    calls.sample = [&] { return RankSample{world.calls_done(), "", world.call_under_way()}; };
    calls.report = [&](const Trouble& trouble) {
      const std::lock_guard lock(verdict.mutex);
      verdict.trouble = trouble;
    };
    calls.leave = [&](const Trouble&) {
      ++verdict.left;
      verdict.found = true;
    };
    Watchdog watchdog(world, settings, "n1", calls);
    body(world);
    wait_for_all_to_leave(verdict, ranks);
    threads.barrier();  // a rank that left could not be asked for messages
  });
  EXPECT_EQ(verdict.left, ranks);
  EXPECT_EQ(verdict.trouble.kind, TroubleKind::stuck);
}

// As a rank that waits for a disk that does not answer.
void hang_until(const Verdict& verdict) {
  while (!verdict.found) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

std::map<int, std::string> told_calls(const Verdict& verdict) {
  std::map<int, std::string> calls;
  for (const RankReport& report : verdict.trouble.reports) calls[report.rank] = report.last.call;
  return calls;
}

// Rank 0 waits for rank 1, which waits for rank 2.
TEST(StuckMesh, RanksThatWaitInAChannelAreNotBlamed) {
  Verdict verdict;
  run_under_watch(4, verdict, [&](Communicator& world) {
    Channel channel(std::make_unique<HostForm>(world));
    const at::Tensor tensor = at::zeros({int64_t{9} << 20}, at::kByte);
    switch (world.rank()) {
      case 0:
        channel.receive(tensor, 1);
        break;
      case 1:
        channel.start_send(tensor, 2);
        channel.flush();
        channel.start_send(tensor, 0);
        break;
      case 2:
        hang_until(verdict);
        channel.receive(tensor, 1);
        channel.receive(tensor, 3);
        channel.receive(tensor, 3);
        channel.receive(tensor, 3);
        break;
      case 3:
        for (int i = 0; i < 3; ++i) {
          channel.wait_for_place(tensor.nbytes(), 2);
          channel.start_send(tensor, 2);
        }
        break;
    }
    channel.flush();
  });
  EXPECT_THAT(verdict.trouble.ranks, ElementsAre(2));
  EXPECT_EQ(told_calls(verdict)[0], "waiting for a tensor from rank 1");
  EXPECT_EQ(told_calls(verdict)[1], "waiting for rank 2 to take a tensor");
  EXPECT_EQ(told_calls(verdict)[3], "waiting for rank 2 to take a tensor");
}

// Two stages of two replicas, and two ranks without work. The second stage waits for the first; of
// the first, replica 1 (rank 1) hangs, and rank 0 waits for it in the tree of stop_here().
TEST(StuckMesh, RanksThatWaitForAStageOrForTheEndAreNotBlamed) {
  Verdict verdict;
  run_under_watch(6, verdict, [&](Communicator& world) {
    MeshRank rank({2, 2}, world);
    work_beside_idle_ranks(world, 4, {}, [&](const StopWishes& wishes) {
      StopControl stop(rank, wishes);
      if (rank.stage() == 1) {
        EXPECT_FALSE(stop.wait_or_stop([&] { return verdict.found.load(); }));
      } else {
        if (rank.replica() == 1) hang_until(verdict);
        EXPECT_FALSE(stop.stop_here());
      }
      EXPECT_FALSE(stop.finish_or_stop([] {}));
    });
  });
  EXPECT_THAT(verdict.trouble.ranks, ElementsAre(1));
  EXPECT_EQ(told_calls(verdict)[0], "receive from rank 1");
  EXPECT_EQ(told_calls(verdict)[2], "waiting for the stage before or after this one");
  EXPECT_EQ(told_calls(verdict)[3], "waiting for the decision of rank 2");
  EXPECT_THAT(told_calls(verdict)[4], HasSubstr("the end of the work"));
  EXPECT_THAT(told_calls(verdict)[5], HasSubstr("the end of the work"));
}

// The first stage has finished and waits for the second, whose leader hangs between two actions.
TEST(StuckMesh, AStageThatHasFinishedIsNotBlamed) {
  Verdict verdict;
  run_under_watch(2, verdict, [&](Communicator& world) {
    MeshRank rank({2, 1}, world);
    StopControl stop(rank, {});
    if (rank.stage() == 1) hang_until(verdict);
    EXPECT_FALSE(stop.finish_or_stop([] {}));
  });
  EXPECT_THAT(verdict.trouble.ranks, ElementsAre(1));
  EXPECT_EQ(told_calls(verdict)[0], "waiting for the other stages to finish");
}

}  // namespace
}  // namespace bitmill

// Ranks as threads, sockets on loopback. A rank that misbehaves is played by hand: it goes through
// the listener as a watchdog does, and then does something else.

#include "comm/watch/watchdog.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <optional>
#include <span>
#include <thread>

#include "base/error.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/watch/listener.hpp"
#include "comm/watch/messages.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The timeout is long enough for threads that wait for a processor.
constexpr WatchdogSettings quick = {
    .timeout = 2, .interval = 0.05, .lost_grace = 0.1, .failure_grace = 0.5, .to_connect = 20};

const std::string host = "n1";

std::string name_of(int rank) { return "rank " + std::to_string(rank); }

// A watchdog, and what it called.
class Watched {
 public:
  // `progresses`: the counter of this rank moves. `call`: where it says that it is.
  Watched(Communicator& comm, bool progresses, const std::string& call = "",
          const WatchdogSettings& settings = quick) {
    const auto sample = [this, progresses, call, rank = comm.rank()] {
      if (progresses) ++progress_;
      return RankSample{progress_, name_of(rank) + " works", call};
    };
    const auto leave = [this](const Trouble& trouble) { left_.set_value(trouble); };
    watchdog_.emplace(comm, settings, host,
                      WatchdogCalls{sample, [this](const Trouble&) { ++reports_; }, leave});
  }

  Watchdog& watchdog() { return *watchdog_; }
  int reports() const { return reports_; }
  // What the rank left with; fails the test when it does not.
  Trouble trouble() {
    if (future_.wait_for(std::chrono::seconds(60)) != std::future_status::ready) {
      ADD_FAILURE() << "no trouble was found within a minute";
      return {};
    }
    return future_.get();
  }
  bool left_within(double seconds) {
    return future_.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
  }

 private:
  uint64_t progress_ = 0;
  std::atomic<int> reports_ = 0;
  std::promise<Trouble> left_;
  std::future<Trouble> future_ = left_.get_future();
  std::optional<Watchdog> watchdog_;  // ends before what it calls
};

// What the construction of a watchdog says through the communicator, in its order.
std::string say(Communicator& comm, const std::string& text) {
  const auto all = gather_everywhere(comm, std::as_bytes(std::span(text)));
  return {reinterpret_cast<const char*>(all[0].data()), all[0].size()};
}

WatchLink join_by_hand(Communicator& comm) {
  say(comm, host);
  say(comm, "");
  const Invitation invitation = Invitation::parse(say(comm, ""));
  WatchLink link = join_watch(invitation, comm.rank(), host, 20);
  say(comm, "");
  return link;
}

// Rank 0 by hand: lets the others in.
std::vector<std::pair<int, WatchLink>> open_by_hand(Communicator& comm) {
  say(comm, host);
  WatchListener listener(comm.size(), host);
  say(comm, "");
  say(comm, listener.invitation().text());
  std::vector<std::pair<int, WatchLink>> joined;
  while (!listener.closed()) {
    for (auto& one : listener.accept_ranks(0)) joined.push_back(std::move(one));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  say(comm, "");
  return joined;
}

TEST(Watchdog, ARankThatIsGoneIsNamedToEveryRank) {
  run_ranks(3, [](Communicator& comm) {
    if (comm.rank() == 2) {
      WatchLink link = join_by_hand(comm);
      link.send(to_line(Beat{{7, "block 3, train", ""}}));
      return;
    }
    Watched watched(comm, true);
    const Trouble trouble = watched.trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::lost);
    EXPECT_THAT(trouble.ranks, ElementsAre(2));
    EXPECT_EQ(trouble.judge, 0);
    ASSERT_EQ(trouble.reports.size(), 3u);
    EXPECT_EQ(trouble.reports[2].host, host);
    EXPECT_EQ(trouble.reports[2].last.activity, "block 3, train");
    EXPECT_EQ(watched.reports(), comm.rank() == 0 ? 1 : 0);
  });
}

TEST(Watchdog, ARankThatFallsSilentIsNamedAfterTheTimeout) {
  std::promise<void> judged;
  run_ranks(3, [&](Communicator& comm) {
    if (comm.rank() == 1) {
      const WatchLink link = join_by_hand(comm);  // stays open, as that of a stopped process
      judged.get_future().wait();
      return;
    }
    Watched watched(comm, true);
    const Trouble trouble = watched.trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::silent);
    EXPECT_THAT(trouble.ranks, ElementsAre(1));
    EXPECT_GE(trouble.seconds, quick.timeout);
    if (comm.rank() == 0) judged.set_value();
  });
}

TEST(Watchdog, WhenNobodyMovesTheRankOutsideCommunicationIsNamed) {
  run_ranks(3, [](Communicator& comm) {
    Watched watched(comm, false, comm.rank() == 1 ? "" : "receive from rank 1");
    const Trouble trouble = watched.trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::stuck);
    EXPECT_THAT(trouble.ranks, ElementsAre(1));
    ASSERT_EQ(trouble.reports.size(), 3u);
    EXPECT_EQ(trouble.reports[1].last.activity, "rank 1 works");
    EXPECT_EQ(trouble.reports[2].last.call, "receive from rank 1");
  });
}

TEST(Watchdog, WhenAllWaitForEachOtherAllAreNamed) {
  run_ranks(3, [](Communicator& comm) {
    Watched watched(comm, false, "barrier");
    EXPECT_THAT(watched.trouble().ranks, ElementsAre(0, 1, 2));
  });
}

TEST(Watchdog, OneRankThatMovesIsEnough) {
  run_ranks(3, [](Communicator& comm) {
    Watched watched(comm, comm.rank() == 2, "barrier");
    EXPECT_FALSE(watched.left_within(2 * quick.timeout));
    comm.barrier();
  });
}

TEST(Watchdog, ALostRank0IsNoticedByEveryOther) {
  run_ranks(3, [](Communicator& comm) {
    if (comm.rank() == 0) {
      open_by_hand(comm);
      return;
    }
    Watched watched(comm, true);
    const Trouble trouble = watched.trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::lost);
    EXPECT_THAT(trouble.ranks, ElementsAre(0));
    EXPECT_EQ(trouble.judge, comm.rank());
    EXPECT_EQ(watched.reports(), 1);
  });
}

TEST(Watchdog, ASilentRank0IsNoticedByEveryOther) {
  std::atomic<int> judged = 0;
  run_ranks(3, [&](Communicator& comm) {
    if (comm.rank() == 0) {
      const auto joined = open_by_hand(comm);
      while (judged < 2) std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    Watched watched(comm, true);
    EXPECT_EQ(watched.trouble().kind, TroubleKind::silent);
    ++judged;
  });
}

// As a rank 0 that was stopped hears it when it wakes up.
TEST(Watchdog, Rank0AcceptsThatItWasGivenUpAndPassesItOn) {
  run_ranks(3, [](Communicator& comm) {
    if (comm.rank() == 2) {
      WatchLink link = join_by_hand(comm);
      link.send(to_line(Verdict{{TroubleKind::silent, 2, {0}, 300, 0, {}}}));
      while (link.open()) link.receive(1 << 20);
      return;
    }
    Watched watched(comm, true);
    const Trouble trouble = watched.trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::silent);
    EXPECT_EQ(trouble.judge, 2);
    EXPECT_EQ(watched.reports(), 0);
  });
}

TEST(Watchdog, AGoodbyeIsNobodysLossInAnyOrder) {
  for (int first = 0; first < 3; ++first) {
    run_ranks(3, [&](Communicator& comm) {
      std::optional<Watched> watched(std::in_place, comm, true);
      comm.barrier();
      if (comm.rank() == first) watched.reset();
      comm.barrier();
      if (comm.rank() != first) {
        EXPECT_FALSE(watched->left_within(0.5));
      }
    });
  }
}

class Failing : public testing::TestWithParam<int> {};

TEST_P(Failing, AnAnnouncedFailureIsNoLossAndItsExitCodeReachesEveryRank) {
  run_ranks(3, [](Communicator& comm) {
    std::optional<Watched> watched(std::in_place, comm, true);
    comm.barrier();
    if (comm.rank() == GetParam()) {
      watched->watchdog().announce_failure(1);
      watched.reset();
      return;
    }
    const Trouble trouble = watched->trouble();
    EXPECT_EQ(trouble.kind, TroubleKind::failed);
    EXPECT_EQ(trouble.exit_code, 1);
    EXPECT_THAT(trouble.ranks, ElementsAre(GetParam()));
    EXPECT_EQ(watched->reports(), 0);
  });
}

TEST(Watchdog, OfRanksThatFailAtTheSameTimeOneIsFirst) {
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> first = 0;
    run_ranks(3, [&](Communicator& comm) {
      std::optional<Watched> watched(std::in_place, comm, true);
      comm.barrier();
      watched->watchdog().announce_failure(1);
      comm.barrier();
      // As long as the lowest rank's word may need to arrive.
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      if (watched->watchdog().failed_first()) ++first;
      comm.barrier();
      watched.reset();
    });
    EXPECT_EQ(first, 1);
  }
}

INSTANTIATE_TEST_SUITE_P(OfRank, Failing, testing::Values(0, 2));

// A rank that knows no way to rank 0: the invitation it follows is for a port where nobody listens.
TEST(Watchdog, ARankThatCannotReachRank0FailsAllRanksAlike) {
  std::atomic<int> failed = 0;
  run_ranks(3, [&](Communicator& comm) {
    if (comm.rank() == 2) {
      for (int call = 0; call < 3; ++call) say(comm, call == 0 ? host : "");
      say(comm, "rank 2 cannot reach rank 0");
      return;
    }
    try {
      const Watched watched(comm, true);
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), HasSubstr("rank 2 cannot reach rank 0"));
      ++failed;
    }
  });
  EXPECT_EQ(failed, 2);
}

TEST(Watchdog, GarbageFromARankIsItsLoss) {
  run_ranks(2, [](Communicator& comm) {
    if (comm.rank() == 1) {
      WatchLink link = join_by_hand(comm);
      link.send("GET / HTTP/1.1\n");
      while (link.open()) link.receive(1 << 20);
      return;
    }
    Watched watched(comm, true);
    EXPECT_EQ(watched.trouble().kind, TroubleKind::lost);
  });
}

}  // namespace
}  // namespace bitmill

#include "comm/watch/watched_communicator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.hpp"
#include "comm/communicator_contract.hpp"
#include "comm/thread_communicator.hpp"
#include "comm/wait.hpp"

namespace bitmill {
namespace {

using comm_contract::Rule;

class WatchedContract : public testing::TestWithParam<Rule> {};

TEST_P(WatchedContract, IsKept) {
  EXPECT_NO_THROW(run_ranks(3, [&](Communicator& comm) {
    WatchedCommunicator watched(comm);
    GetParam().body(watched);
  }));
}

INSTANTIATE_TEST_SUITE_P(, WatchedContract, testing::ValuesIn(comm_contract::rules),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(WatchedCommunicator, FinishedCallsAreCountedAndTheOneUnderWayIsTold) {
  std::atomic<bool> seen = false;
  run_ranks(2, [&](Communicator& comm) {
    WatchedCommunicator watched(comm);
    std::array<std::byte, 1> data = {};
    EXPECT_EQ(watched.calls_done(), 0u);
    EXPECT_EQ(watched.call_under_way(), "");
    if (comm.rank() == 1) {
      std::thread waiting([&] { watched.receive(data, 0); });
      while (watched.call_under_way() != "receive from rank 0") std::this_thread::yield();
      seen = true;
      waiting.join();
    } else {
      while (!seen) std::this_thread::yield();
      watched.send(data, 1);
    }
    EXPECT_EQ(watched.calls_done(), 1u);
    EXPECT_EQ(watched.call_under_way(), "");
  });
}

TEST(WatchedCommunicator, AWaitIsToldFromItsFirstPauseToItsEnd) {
  run_ranks(1, [](Communicator& comm) {
    WatchedCommunicator watched(comm);
    {
      Wait outer(watched, "a note from rank 1");
      EXPECT_EQ(watched.call_under_way(), "");
      outer();
      EXPECT_EQ(watched.call_under_way(), "waiting for a note from rank 1");
      {
        Wait inner(watched, "rank 2 to take a tensor");
        inner();
        EXPECT_EQ(watched.call_under_way(), "waiting for rank 2 to take a tensor");
      }
      EXPECT_EQ(watched.call_under_way(), "");
      outer();
      EXPECT_EQ(watched.call_under_way(), "waiting for a note from rank 1");
    }
    EXPECT_EQ(watched.call_under_way(), "");
    EXPECT_EQ(watched.calls_done(), 0u) << "a wait is no progress";
  });
}

// For example in a write to a disk that does not answer.
TEST(WatchedCommunicator, ARankThatHangsBetweenTwoPausesDoesNotWaitForOthers) {
  run_ranks(1, [](Communicator& comm) {
    WatchedCommunicator watched(comm);
    Wait wait(watched, "a note from rank 1");
    wait();
    EXPECT_EQ(watched.call_under_way(), "waiting for a note from rank 1");
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    EXPECT_EQ(watched.call_under_way(), "");
  });
}

TEST(WatchedCommunicator, CallsAndWaitsOfAPartAreToldWithRanksOfTheJob) {
  std::atomic<bool> seen = false;
  run_ranks(3, [&](Communicator& comm) {
    WatchedCommunicator watched(comm);
    const auto part = watched.split(comm.rank() == 0 ? 0 : 1);
    if (comm.rank() == 0) return;
    EXPECT_EQ(part->job_rank(0), 1);
    EXPECT_EQ(part->job_rank(1), 2);
    EXPECT_EQ(part->job_rank(7), 7);
    std::array<std::byte, 1> data = {};
    if (comm.rank() == 1) {
      std::thread waiting([&] { part->receive(data, 1); });
      while (watched.call_under_way() != "receive from rank 2") std::this_thread::yield();
      seen = true;
      waiting.join();
      Wait wait(*part, "x");
      wait();
      EXPECT_EQ(watched.call_under_way(), "waiting for x");
    } else {
      while (!seen) std::this_thread::yield();
      part->send(data, 0);
    }
  });
}

TEST(WatchedCommunicator, ACallThatFailedIsOverButNotDone) {
  run_ranks(1, [](Communicator& comm) {
    WatchedCommunicator watched(comm);
    EXPECT_THROW(watched.send({}, 0), CommError);
    EXPECT_EQ(watched.calls_done(), 0u);
    EXPECT_EQ(watched.call_under_way(), "");
  });
}

}  // namespace
}  // namespace bitmill

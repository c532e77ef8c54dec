#include "comm/watch/watched_communicator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/error.hpp"
#include "comm/communicator_contract.hpp"
#include "comm/thread_communicator.hpp"

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

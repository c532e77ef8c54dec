#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <tuple>

#include "base/error.hpp"
#include "comm/communicator_contract.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"

namespace bitmill {
namespace {

using comm_contract::Rule;
using comm_contract::rules;
using testing::HasSubstr;

std::string rule_name(const Rule& rule) { return rule.name; }

class SelfContract : public testing::TestWithParam<Rule> {};

TEST_P(SelfContract, IsKept) {
  const auto comm = self_communicator();
  EXPECT_NO_THROW(GetParam().body(*comm));
}

INSTANTIATE_TEST_SUITE_P(, SelfContract, testing::ValuesIn(rules),
                         [](const auto& test) { return rule_name(test.param); });

class ThreadContract : public testing::TestWithParam<std::tuple<int, Rule>> {};

TEST_P(ThreadContract, IsKept) {
  const auto& [ranks, rule] = GetParam();
  EXPECT_NO_THROW(run_ranks(ranks, rule.body));
}

INSTANTIATE_TEST_SUITE_P(, ThreadContract,
                         testing::Combine(testing::Values(1, 2, 3, 5), testing::ValuesIn(rules)),
                         [](const auto& test) {
                           return rule_name(std::get<1>(test.param)) + "With" +
                                  std::to_string(std::get<0>(test.param));
                         });

TEST(ThreadRanks, AnErrorInAPartNamesRanksOfTheJob) {
  const auto wrong_size = [](Communicator& world) {
    const auto part = world.split(world.rank() % 2);
    std::array<std::byte, 5> data = {};
    if (world.rank() == 1) part->send(std::span(data).first(3), 1);
    if (world.rank() == 3) part->receive(data, 0);
  };
  try {
    run_ranks(4, wrong_size);
    FAIL() << "3 bytes are not 5";
  } catch (const CommError& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("receive on rank 3: rank 1 sent 3 bytes where 5 were expected"));
  }
}

TEST(ThreadRanks, NobodyPassesABarrierBeforeAllCame) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> came = 0;
    run_ranks(5, [&](Communicator& comm) {
      ++came;
      comm.barrier();
      EXPECT_EQ(came, 5);
    });
  }
}

TEST(ThreadRanks, FailingRankFailsTheRunInsteadOfHangingIt) {
  const std::vector<std::function<void(Communicator&)>> waits = {
      [](Communicator& comm) { comm.barrier(); },
      [](Communicator& comm) {
        std::array<std::byte, 1> data;
        comm.receive(data, 1);
      },
      [](Communicator& comm) { gather_everywhere(comm, {}); },
  };
  for (const auto& wait : waits) {
    std::atomic<int> woken = 0;
    const auto body = [&](Communicator& comm) {
      if (comm.rank() == 1) throw FormatError("damaged shard");
      try {
        wait(comm);
      } catch (const CommError&) {
        ++woken;
        throw;
      }
    };
    EXPECT_THROW(run_ranks(3, body), FormatError);
    EXPECT_EQ(woken, 2);
  }
}

TEST(ThreadRanks, CallAfterAnotherRankFailedThrows) {
  std::atomic<bool> failing = false;
  const auto body = [&](Communicator& comm) {
    if (comm.rank() == 0) {
      failing = true;
      throw FormatError("damaged shard");
    }
    while (!failing) std::this_thread::yield();
    const std::array<std::byte, 1> data = {};
    while (true) comm.send(data, 0);  // ends when the failure is seen
  };
  EXPECT_THROW(run_ranks(2, body), FormatError);
}

// The message of the error with which run_ranks ends.
std::string failure_of(int ranks, const std::function<void(Communicator&)>& body) {
  try {
    run_ranks(ranks, body);
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

TEST(ThreadRanks, WaitForARankThatHasReturnedFails) {
  EXPECT_THAT(failure_of(2,
                         [](Communicator& comm) {
                           std::array<std::byte, 8> data;
                           if (comm.rank() == 1) comm.receive(data, 0);
                         }),
              HasSubstr("receive on rank 1 of 2 with rank 0, which has returned"));
  EXPECT_THAT(failure_of(2,
                         [](Communicator& comm) {
                           if (comm.rank() == 1) comm.barrier();
                         }),
              HasSubstr("barrier on rank 1 of 2"));
}

TEST(ThreadRanks, MessageOfARankThatHasReturnedStillArrives) {
  run_ranks(2, [](Communicator& comm) {
    std::array<std::byte, 3> data = {};
    if (comm.rank() == 0) return comm.send(comm_contract::letter(0, 1, 3), 1);
    comm.receive(data, 0);
    EXPECT_TRUE(comm_contract::is_letter(data, 0, 1));
  });
}

TEST(ThreadRanks, WrongSizeNamesBothSizes) {
  EXPECT_THAT(failure_of(2,
                         [](Communicator& comm) {
                           std::array<std::byte, 8> data = {};
                           if (comm.rank() == 0) comm.send(data, 1);
                           if (comm.rank() == 1) comm.receive(std::span(data).first(5), 0);
                         }),
              HasSubstr("receive on rank 1 of 2: rank 0 sent 8 bytes where 5 were expected"));
}

}  // namespace
}  // namespace bitmill

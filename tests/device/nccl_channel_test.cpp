// The contract of channels on NCCL, ranks as threads, each with a GPU of its own; and what only
// NCCL shows.

#include "channel/nccl.hpp"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "channel/channel_contract.hpp"
#include "channel/nccl_fault.hpp"
#include "comm/thread_communicator.hpp"
#include "device/device.hpp"

namespace bitmill {
namespace {

using channel_contract::Rule;
using channel_contract::rules;
using channel_contract::Side;

class NcclChannel : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    const CudaHost host = find_cuda_devices();
    const auto gpus = std::ssize(host.devices);
    if (gpus < GetParam()) GTEST_SKIP() << GetParam() << " GPUs are needed, and there are " << gpus;
  }

  static void on_channel(int ranks, const std::function<void(const Side&)>& body,
                         NcclPatience patience = {}) {
    run_ranks(ranks, [&](Communicator& world) {
      ThreadPool pool(1);
      const auto device = cuda_device({world.rank(), at::kFloat}, pool);
      const auto words = world.split(0);
      Channel channel(nccl_form(*words, *device, patience));
      body({world, channel});
      world.barrier();  // a rank that left could not be asked for messages
    });
  }
};

TEST_P(NcclChannel, KeepsTheContract) {
  for (const Rule& rule : rules) {
    SCOPED_TRACE(rule.name);
    EXPECT_NO_THROW(on_channel(GetParam(), rule.body));
  }
}

// The value is what the queue makes of the tensor before it is sent, and the room is free when the
// queue comes to it.
TEST_P(NcclChannel, ATransferTakesItsPlaceInTheQueueOfTheDevice) {
  on_channel(GetParam(), [](const Side& side) {
    at::Tensor value = side.letter(side.comm.rank(), 3, 50001);
    for (int i = 0; i < 20; ++i) {
      value.mul_(2);
      side.channel.start_send(value.clone(), side.after());
      at::Tensor room = side.room(50001);
      room.fill_(-1);
      side.channel.receive(room, side.before());
      const at::Tensor expected =
          channel_contract::letter(side.before(), 3, 50001).mul_(std::exp2(i + 1));
      channel_contract::require(side.comm, at::equal(room.mul(1).cpu(), expected),
                                fmt::format("round {}", i));
    }
    side.channel.flush();
  });
}

INSTANTIATE_TEST_SUITE_P(, NcclChannel, testing::Values(2, 3, 4),
                         [](const auto& test) { return fmt::format("With{}", test.param); });

// Number 1 of every communicator stands still at its second operation
// (BITMILL_EMULATION_NCCL_STALL=1:2, in a process of its own).
class NcclDeadlines : public testing::Test {
 protected:
  void SetUp() override { skip_unless("1:2"); }

  static void skip_unless(std::string_view wanted) {
    const char* const stall = std::getenv("BITMILL_EMULATION_NCCL_STALL");
    if (stall == nullptr || stall != wanted) GTEST_SKIP() << "nothing stands still there";
  }

  static void on_two(const std::function<void(const Side&)>& body) {
    run_ranks(2, [&](Communicator& world) {
      ThreadPool pool(1);
      const auto device = cuda_device({world.rank(), at::kFloat}, pool);
      const auto words = world.split(0);
      Channel channel(nccl_form(*words, *device, {.seconds = 1}));
      body({world, channel});
      world.barrier();
    });
  }
  // What PeerLostError says.
  static std::string loss(const std::function<void()>& work) {
    try {
      work();
    } catch (const PeerLostError& error) {
      return error.what();
    }
    return "nothing was lost";
  }
};

TEST_F(NcclDeadlines, ASendOfWhichTheReceiverHasBegunHasALimit) {
  std::atomic<bool> given_up = false;
  on_two([&](const Side& side) {
    if (side.comm.rank() == 0) {
      side.channel.start_send(side.letter(0, 1, 4), 1);
      side.channel.flush();
      side.channel.start_send(side.letter(0, 2, 4), 1);
      EXPECT_THAT(loss([&] { side.channel.flush(); }),
                  testing::AllOf(testing::StartsWith("rank 0 on "), testing::HasSubstr("(cuda:0)"),
                                 testing::HasSubstr("sending 16 bytes to rank 1: nothing has come "
                                                    "through for 1 s")));
      given_up = true;
      return;
    }
    side.channel.receive(side.room(4), 0);
    const at::Tensor room = side.room(4);
    std::unique_ptr<Transfer> transfer;
    while (!given_up) {
      if (!transfer) transfer = side.channel.start_receive(room, 0);
      // A receiver has no limit of its own: its sender may come much later.
      EXPECT_FALSE(transfer && transfer->done());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
}

TEST_F(NcclDeadlines, AnExchangeHasALimitOnEveryRank) {
  on_two([&](const Side& side) {
    const auto exchange = [&] {
      const std::vector<at::Tensor> to = {side.letter(side.comm.rank(), 1, 4),
                                          side.letter(side.comm.rank(), 1, 4)};
      const std::vector<at::Tensor> from = {side.room(4), side.room(4)};
      side.channel.exchange(to, from);
    };
    exchange();
    EXPECT_THAT(loss(exchange), testing::HasSubstr("exchanging 32 bytes with 1 ranks: nothing has "
                                                   "come through for 1 s"));
  });
}

// Number 1 stands still in ncclCommAbort (BITMILL_EMULATION_NCCL_STALL=1:abort).
class NcclAbort : public NcclDeadlines {
 protected:
  void SetUp() override { skip_unless("1:abort"); }
};

TEST_F(NcclAbort, ARankThatNcclDoesNotLetGoGoesOn) {
  const auto begin = std::chrono::steady_clock::now();
  on_two([](const Side& side) {
    if (side.comm.rank() == 0) {
      side.channel.start_send(side.letter(0, 1, 4), 1);
      side.channel.flush();
    } else {
      side.channel.receive(side.room(4), 0);
    }
    const std::vector<at::Tensor> to(2, side.letter(0, 1, 4)), from(2, side.room(4));
    side.channel.exchange(to, from);  // number 1 has a second communicator
  });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(took.count(), 4.5) << "nobody stood still";
  EXPECT_LT(took.count(), 9.5) << "each communicator was waited for";
}

TEST(Nccl, SaysItsVersion) {
  if (!find_cuda_devices().compiled) GTEST_SKIP() << "built without CUDA";
  EXPECT_THAT(nccl_version(), testing::MatchesRegex("2\\.[0-9]+\\.[0-9]+"));
}

TEST(NcclFault, AdviceNamesWhatHasToBeSet) {
  EXPECT_THAT(nccl_advice(ncclSystemError, "Bootstrap : no socket interface found"),
              testing::AllOf(testing::HasSubstr("NCCL_SOCKET_IFNAME"),
                             testing::Not(testing::HasSubstr("/dev/shm"))));
  EXPECT_THAT(nccl_advice(ncclSystemError, "Error while creating shared memory segment /dev/shm/n"),
              testing::AllOf(testing::HasSubstr("--shm-size"),
                             testing::Not(testing::HasSubstr("NCCL_SOCKET_IFNAME"))));
  EXPECT_THAT(
      nccl_advice(ncclSystemError, ""),
      testing::AllOf(testing::HasSubstr("--shm-size"), testing::HasSubstr("NCCL_SOCKET_IFNAME")));
  EXPECT_THAT(nccl_advice(ncclInvalidUsage, "Duplicate GPU detected : rank 0 and rank 1"),
              testing::HasSubstr("CUDA_VISIBLE_DEVICES"));
  EXPECT_THAT(nccl_advice(ncclInvalidUsage, "Mismatched NCCL version detected"),
              testing::HasSubstr("one version of NCCL"));
}

TEST(NcclFault, ALostPeerIsToldFromAMistake) {
  EXPECT_NO_THROW(check_nccl(ncclInProgress, nullptr, "rank 1", "sending", true));
  for (const ncclResult_t lost : {ncclRemoteError, ncclSystemError}) {
    EXPECT_THROW(check_nccl(lost, nullptr, "rank 1", "sending", true), PeerLostError);
    try {
      check_nccl(lost, nullptr, "rank 1", "connecting", false);
      ADD_FAILURE();
    } catch (const PeerLostError&) {
      ADD_FAILURE() << "what never worked will not work the next time";
    } catch (const CommError&) {
    }
  }
  try {
    check_nccl(ncclInvalidArgument, nullptr, "rank 1 on n1", "sending 4 bytes to rank 2", true);
    ADD_FAILURE();
  } catch (const PeerLostError&) {
    ADD_FAILURE() << "a mistake is no lost peer";
  } catch (const CommError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("rank 1 on n1: NCCL, sending 4 bytes to rank 2: "
                                                  "ncclInvalidArgument: invalid argument"));
  }
}

}  // namespace
}  // namespace bitmill

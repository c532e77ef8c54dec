// The contract of channels on NCCL, ranks as threads, each with a GPU of its own; and what only
// NCCL shows.

#include "channel/nccl.hpp"

#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
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

// NCCL: what a transfer promises. The ranks are threads of this process, one for each device; with
// one device only the cases of one rank run.

#include <nccl.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/owners.hpp"

namespace conformance {
namespace {

void must_nccl(ncclResult_t result, const char* call) {
  if (result != ncclSuccess && result != ncclInProgress) {
    throw std::runtime_error(std::string(call) + ": " + ncclGetErrorString(result));
  }
}
#define MUST_NCCL(call) must_nccl(call, #call)

// Until what a communicator that does not block was asked for has begun.
ncclResult_t settled(ncclComm_t comm) {
  ncclResult_t state = ncclInProgress;
  for (int i = 0; i < 60000 && state == ncclInProgress; ++i) {
    MUST_NCCL(ncclCommGetAsyncError(comm, &state));
    if (state == ncclInProgress) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return state;
}

struct Rank {
  int rank, count;
  ncclComm_t comm;
  cudaStream_t stream;
};

// One rank: its device, communicator and stream.
template <typename Work>
void be_rank(int rank, int count, const ncclUniqueId& id, bool blocking, Work work) {
  MUST(cudaSetDevice(rank));
  ncclComm_t comm = nullptr;
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = blocking ? 1 : 0;
  MUST_NCCL(ncclCommInitRankConfig(&comm, count, id, rank, &config));
  must_nccl(settled(comm), "ncclCommInitRankConfig");
  {
    const Stream stream;
    work(Rank{rank, count, comm, stream});
  }
  ncclCommDestroy(comm);
}

// Runs `work` as `count` ranks; what one throws is thrown here.
template <typename Work>
void as_ranks(int count, bool blocking, Work work) {
  ncclUniqueId id;
  MUST_NCCL(ncclGetUniqueId(&id));
  std::mutex mutex;
  std::string error;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        be_rank(rank, count, id, blocking, work);
      } catch (const std::exception& thrown) {
        const std::lock_guard lock(mutex);
        error = "rank " + std::to_string(rank) + ": " + thrown.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!error.empty()) throw std::runtime_error(error);
}

int devices() {
  int count = 0;
  MUST(cudaGetDeviceCount(&count));
  return std::min(count, 4);
}
int several_devices() {
  if (devices() < 2) throw Skipped{"one device, and NCCL refuses two ranks on it"};
  return devices();
}

constexpr size_t count_of = 1 << 18;  // 1 MiB of float32

void end_group(const Rank& self) {
  MUST_NCCL(ncclGroupEnd());
  must_nccl(settled(self.comm), "ncclGroupEnd");
}

// To the next rank, from the one before.
void exchange_round_the_ring(const Rank& self) {
  const int next = (self.rank + 1) % self.count, before = (self.rank + self.count - 1) % self.count;
  const DeviceMemory<float> out(count_of, static_cast<float>(self.rank + 1)), in(count_of, -1.0F);
  for (int round = 0; round < 3; ++round) {
    MUST_NCCL(ncclGroupStart());
    MUST_NCCL(ncclSend(out.get(), count_of, ncclFloat32, next, self.comm, self.stream));
    MUST_NCCL(ncclRecv(in.get(), count_of, ncclFloat32, before, self.comm, self.stream));
    end_group(self);
  }
  MUST(cudaStreamSynchronize(self.stream));
  const std::vector<float> values = in.values();
  EXPECT_SAME(values.front(), static_cast<float>(before + 1));
  EXPECT_SAME(values.back(), static_cast<float>(before + 1));
}

}  // namespace

CONFORMS(transfers, "A rank sends to itself inside a group") {
  as_ranks(1, true, exchange_round_the_ring);
}

CONFORMS(transfers, "A communicator that does not block is asked until it is ready") {
  as_ranks(1, false, exchange_round_the_ring);
}

CONFORMS(transfers, "Ranks exchange round a ring inside a group") {
  as_ranks(several_devices(), true, exchange_round_the_ring);
}

CONFORMS(transfers, "Ranks exchange round a ring with communicators that do not block") {
  as_ranks(several_devices(), false, exchange_round_the_ring);
}

CONFORMS(transfers, "A communicator knows its ranks and its device") {
  as_ranks(devices(), true, [](const Rank& self) {
    int rank = -1, count = -1, device = -1;
    MUST_NCCL(ncclCommUserRank(self.comm, &rank));
    MUST_NCCL(ncclCommCount(self.comm, &count));
    MUST_NCCL(ncclCommCuDevice(self.comm, &device));
    EXPECT_SAME(rank, self.rank);
    EXPECT_SAME(count, self.count);
    EXPECT_SAME(device, self.rank);
  });
}

CONFORMS(transfers, "Gathering puts the ranks' parts in order") {
  as_ranks(devices(), true, [](const Rank& self) {
    const DeviceMemory<float> own(1000, static_cast<float>(self.rank));
    const DeviceMemory<float> all(1000 * static_cast<size_t>(self.count), -1.0F);
    MUST_NCCL(ncclAllGather(own.get(), all.get(), 1000, ncclFloat32, self.comm, self.stream));
    MUST(cudaStreamSynchronize(self.stream));
    const std::vector<float> values = all.values();
    for (int rank = 0; rank < self.count; ++rank) {
      EXPECT_SAME(values[static_cast<size_t>(rank) * 1000 + 999], static_cast<float>(rank));
    }
  });
}

CONFORMS(transfers, "A broadcast brings the root's bytes to all") {
  as_ranks(devices(), true, [](const Rank& self) {
    const int root = self.count - 1;
    const DeviceMemory<float> memory(1000, static_cast<float>(self.rank));
    MUST_NCCL(
        ncclBroadcast(memory.get(), memory.get(), 1000, ncclFloat32, root, self.comm, self.stream));
    MUST(cudaStreamSynchronize(self.stream));
    EXPECT_SAME(memory.values()[999], static_cast<float>(root));
  });
}

CONFORMS(transfers, "A send waits until the stream comes to it") {
  as_ranks(several_devices(), true, [](const Rank& self) {
    if (self.rank > 1) return;
    DeviceMemory<float> memory(1000, static_cast<float>(self.rank));
    if (self.rank == 1) {
      MUST_NCCL(ncclRecv(memory.get(), 1000, ncclFloat32, 0, self.comm, self.stream));
      MUST(cudaStreamSynchronize(self.stream));
      EXPECT_SAME(memory.values()[999], 7.0F);
      return;
    }
    PinnedMemory<float> sevens(1000, 7.0F);
    const Event event(cudaEventDisableTiming);
    const Stream copying;
    Gate gate(copying);
    MUST(cudaMemcpyAsync(memory.get(), sevens.get(), 4000, cudaMemcpyHostToDevice, copying));
    MUST(cudaEventRecord(event, copying));
    MUST(cudaStreamWaitEvent(self.stream, event, 0));
    MUST_NCCL(ncclSend(memory.get(), 1000, ncclFloat32, 1, self.comm, self.stream));
    gate.open();
    MUST(cudaStreamSynchronize(self.stream));
  });
}

CONFORMS(transfers,
         "A receive that nobody serves ends with ncclCommAbort, and the stream goes on") {
  const int count = several_devices();
  ncclUniqueId id;
  MUST_NCCL(ncclGetUniqueId(&id));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      cudaSetDevice(rank);
      ncclComm_t comm = nullptr;
      EXPECT_SAME(ncclCommInitRank(&comm, count, id, rank), ncclSuccess);
      const Stream stream;
      const DeviceMemory<float> memory(1000, 0.0F);
      if (rank == 0) {
        EXPECT_SAME(ncclRecv(memory.get(), 1000, ncclFloat32, 1, comm, stream), ncclSuccess);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        EXPECT_SAME(cudaStreamQuery(stream), cudaErrorNotReady);
      }
      EXPECT_SAME(ncclCommAbort(comm), ncclSuccess);
      EXPECT_SAME(cudaStreamSynchronize(stream), cudaSuccess);
      EXPECT_SAME(cudaMemsetAsync(memory.get(), 0, 4, stream), cudaSuccess);
      EXPECT_SAME(cudaStreamSynchronize(stream), cudaSuccess);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

CONFORMS(transfers, "Two ranks on one device are refused") {
  ncclUniqueId id;
  MUST_NCCL(ncclGetUniqueId(&id));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      cudaSetDevice(0);
      ncclComm_t comm = nullptr;
      EXPECT_SAME(ncclCommInitRank(&comm, 2, id, rank), ncclInvalidUsage);
      if (comm != nullptr) ncclCommAbort(comm);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

CONFORMS(transfers, "Ranks that there are not, and unbalanced groups, are refused") {
  as_ranks(1, true, [](const Rank& self) {
    const DeviceMemory<float> memory(10, 0.0F);
    EXPECT_SAME(ncclSend(memory.get(), 10, ncclFloat32, 1, self.comm, self.stream),
                ncclInvalidArgument);
    EXPECT_SAME(ncclSend(memory.get(), 10, ncclFloat32, -1, self.comm, self.stream),
                ncclInvalidArgument);
  });
  EXPECT_SAME(ncclGroupEnd(), ncclInvalidUsage);
}

}  // namespace conformance

#include "channel/nccl_communicator.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <system_error>
#include <thread>
#include <utility>

#include "channel/nccl_fault.hpp"

namespace bitmill {
namespace {

// A transfer occupies so many multiprocessors at most. Transfers of several communicators run side
// by side, and none must wait for a place that another one holds: a rank has up to five (two
// neighbours, two directions, the replicas), and a GPU from some 60 multiprocessors on.
constexpr int most_multiprocessors = 8;

// An abort waits for threads of NCCL, and for the GPU to leave its kernels: parts of a second.
// Together, not each of them.
constexpr auto time_to_abort = std::chrono::seconds(5);

}  // namespace

void NcclCommunicator::Traits::destroy(Type comm) {
  std::packaged_task<void()> task([comm] { ncclCommAbort(comm); });
  const std::future<void> ended = task.get_future();
  try {
    std::thread(std::move(task)).detach();
  } catch (const std::system_error&) {  // the host gives no thread
    ncclCommAbort(comm);
    return;
  }
  // One that hangs is waited for once: those behind it hang for the same reason.
  static std::atomic<bool> one_hangs = false;
  const auto limit = one_hangs ? std::chrono::seconds(0) : time_to_abort;
  if (ended.wait_for(limit) == std::future_status::ready || one_hangs.exchange(true)) return;
  std::fprintf(stderr,
               "bitmill: note: NCCL did not give a communicator up within %d s; it is left behind "
               "(nvidia-smi shows whether the GPU answers)\n",
               static_cast<int>(time_to_abort.count()));
}

NcclCommunicator::NcclCommunicator(const NcclMembers& members, std::string place, std::string doing)
    : place_(std::move(place)), doing_(std::move(doing)) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  config.maxCTAs = most_multiprocessors;
  ncclComm_t comm = nullptr;
  const ncclResult_t begun =
      ncclCommInitRankConfig(&comm, members.ranks, members.id, members.rank, &config);
  comm_ = UniqueHandle<Traits>(comm);
  check_nccl(begun, comm, place_, doing_, false);
}

bool NcclCommunicator::ready() {
  ncclResult_t state = ncclSuccess;
  check_nccl(ncclCommGetAsyncError(comm_.get(), &state), comm_.get(), place_, doing_, connected_);
  check_nccl(state, comm_.get(), place_, doing_, connected_);
  connected_ = connected_ || state == ncclSuccess;
  return state == ncclSuccess;
}

void NcclCommunicator::post(std::span<const NcclPiece> pieces, cudaStream_t stream,
                            const std::string& doing) {
  doing_ = doing;
  check_nccl(ncclGroupStart(), comm_.get(), place_, doing_, connected_);
  ncclResult_t first_error = ncclSuccess;
  for (const NcclPiece& piece : pieces) {
    const ncclResult_t begun =
        piece.sends ? ncclSend(piece.data, piece.bytes, ncclUint8, piece.peer, comm_.get(), stream)
                    : ncclRecv(piece.data, piece.bytes, ncclUint8, piece.peer, comm_.get(), stream);
    const bool failed = begun != ncclSuccess && begun != ncclInProgress;
    if (failed && first_error == ncclSuccess) first_error = begun;
  }
  const ncclResult_t ended = ncclGroupEnd();
  check_nccl(first_error, comm_.get(), place_, doing_, connected_);
  check_nccl(ended, comm_.get(), place_, doing_, connected_);
}

ncclUniqueId new_nccl_id(const std::string& place) {
  ncclUniqueId id;
  check_nccl(ncclGetUniqueId(&id), nullptr, place, "making the id of a communicator", false);
  return id;
}

}  // namespace bitmill

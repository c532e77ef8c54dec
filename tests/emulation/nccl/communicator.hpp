#pragma once
// One rank of a communicator.
//
// A send is done only once the peer has posted the receive, so what deadlocks between devices
// deadlocks here. An operation that lost its peer hangs in its stream until ncclCommAbort, as a
// kernel of NCCL would; ncclCommGetAsyncError tells.
//
// Faults come from the environment: emulation/runtime/settings.hpp.

#include <nccl.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "emulation/nccl/link.hpp"
#include "emulation/runtime/settings.hpp"

struct ncclComm {
 public:
  ncclComm(int own_rank, int ranks, int on_device, bool waits)
      : rank(own_rank), count(ranks), device(on_device), blocking(waits) {}
  ncclComm(const ncclComm&) = delete;
  ncclComm& operator=(const ncclComm&) = delete;
  ~ncclComm();

  // Connects to all others; state() is ncclInProgress until it returns.
  void connect(const ncclUniqueId& id);
  // Runs connect(), or another step, on a thread of its own.
  template <typename Step>
  void in_background(Step step) {
    join_background();
    background_ = std::thread(std::move(step));
  }
  void join_background();

  // On a stream's thread: all operations make progress together; returns when all are done, or
  // after abort().
  void carry_out(const std::vector<bitmill::fake_nccl::Operation>& operations);

  ncclResult_t state() const { return state_; }
  void set_state(ncclResult_t state) { state_ = state; }
  std::string message() const;
  // Becomes the state, unless an error came before.
  void fail(ncclResult_t result, const std::string& why);

  // Called by ncclCommAbort: the rank stands still there where that was asked for.
  void stall_in_abort() const;
  void abort() { aborted_ = true; }
  // Waits until no stream has an operation of this communicator.
  void wait_for_users() const;

  const int rank, count, device;
  const bool blocking;
  std::atomic<int> users{0};  // operations that are queued

 private:
  void hang(ncclResult_t result, const std::string& why);
  // As the settings wish for the operation at hand.
  void die_or_stall() const;
  bool is_at(const std::optional<bitmill::fake_cuda::RankOperation>& operation) const;
  // The transfers of one carry_out(), by peer.
  struct Open;
  void serve_ready(Open* open);
  bool poll_once(Open* open);

  std::mutex one_at_a_time_;
  std::vector<bitmill::fake_nccl::Link> links_;  // by rank
  int operations_ = 0;
  std::atomic<ncclResult_t> state_{ncclInProgress};
  std::atomic<bool> aborted_{false};
  mutable std::mutex message_mutex_;
  std::string message_;
  std::thread background_;
};

namespace bitmill::fake_nccl {

// All communicators that were made and not destroyed.
void add_communicator(ncclComm* comm);
bool is_communicator(const ncclComm* comm);
void remove_communicator(ncclComm* comm);

}  // namespace bitmill::fake_nccl

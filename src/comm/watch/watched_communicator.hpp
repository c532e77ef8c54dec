#pragma once
// A communicator that can be watched: it tells how many calls it has finished, and which call is
// under way, or for what the rank waits.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "comm/communicator.hpp"

namespace bitmill {

class WatchedCommunicator final : public Communicator {
 public:
  // Passes every call on to `inner`, which outlives it.
  explicit WatchedCommunicator(Communicator& inner) : inner_(inner), calls_(own_calls_) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int job_rank(int rank) const override { return inner_.job_rank(rank); }
  void barrier() override;
  void broadcast(std::span<std::byte> data, int root) override;
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override;
  void send(std::span<const std::byte> data, int to) override;
  void receive(std::span<std::byte> data, int from) override;
  // A started message counts when it is finished. Calls of done() that return false do not count as
  // progress.
  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override;
  std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) override;
  // Calls of the new communicator count here, too.
  std::unique_ptr<Communicator> split(int color) override;

  void waits_for(std::string_view what) override;

  // Any thread may ask.
  uint64_t calls_done() const { return calls_.done; }
  // "receive from rank 2", "barrier", "waiting for a tensor from rank 1"; empty when no call is
  // under way and the rank does not wait. The numbers are job ranks. A rank that has said nothing
  // of its wait for a second does not wait: what it does between two pauses takes so long, or
  // hangs.
  std::string call_under_way() const;

 private:
  struct Calls {
    std::atomic<uint64_t> done = 0;
    std::atomic<uint64_t> under_way = 0;  // kind of the call, below it the job rank; 0: none
    std::mutex mutex;
    std::string awaited;                              // guarded by mutex
    std::chrono::steady_clock::time_point waited_at;  // when it was said; guarded by mutex
  };
  class Mark;
  class WatchedTransfer;

  // Wraps `part`, which a split() of `parent` made.
  WatchedCommunicator(std::unique_ptr<Communicator> part, WatchedCommunicator& parent)
      : part_(std::move(part)), inner_(*part_), calls_(parent.calls_) {}

  std::unique_ptr<Communicator> part_;
  Communicator& inner_;
  Calls own_calls_;
  Calls& calls_;  // of the communicator that was split; otherwise own_calls_
};

}  // namespace bitmill

#pragma once
// A communicator that can be watched: how many calls it has finished, and which one is under way.

#include <atomic>
#include <cstdint>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

class WatchedCommunicator final : public Communicator {
 public:
  // Passes every call on to `inner`, which outlives it.
  explicit WatchedCommunicator(Communicator& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void barrier() override;
  void broadcast(std::span<std::byte> data, int root) override;
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override;
  void send(std::span<const std::byte> data, int to) override;
  void receive(std::span<std::byte> data, int from) override;

  // Any thread may ask.
  uint64_t calls_done() const { return calls_done_; }
  // "receive from rank 2", "barrier"; empty outside a call.
  std::string call_under_way() const;

 private:
  class Mark;

  Communicator& inner_;
  std::atomic<uint64_t> calls_done_ = 0;
  std::atomic<uint64_t> under_way_ = 0;  // kind of the call, and peer in the lower half; 0: none
};

}  // namespace bitmill

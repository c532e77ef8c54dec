#pragma once
// Ranks as threads, between which a message is through only when the other side has begun to take
// it: as where large ones move. What is sent is counted, for one sender and one receiver.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "comm/communicator.hpp"

namespace bitmill {

// Messages of one rank to another, by start_send() and start_receive().
struct Traffic {
  std::atomic<int64_t> sent = 0, taken = 0;
  std::atomic<int> refusals = 0;  // of a sender that asks whether one is through
};

class WaitingCommunicator final : public Communicator {
 public:
  WaitingCommunicator(Communicator& inner, Traffic& traffic) : inner_(inner), traffic_(traffic) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void barrier() override { inner_.barrier(); }
  void broadcast(std::span<std::byte> data, int root) override { inner_.broadcast(data, root); }
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    inner_.exchange(to, from);
  }
  void send(std::span<const std::byte> data, int to) override { inner_.send(data, to); }
  void receive(std::span<std::byte> data, int from) override { inner_.receive(data, from); }
  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override {
    return std::make_unique<Sending>(inner_.start_send(data, to), traffic_, traffic_.sent++);
  }
  std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) override {
    auto transfer = inner_.start_receive(data, from);
    if (transfer) ++traffic_.taken;
    return transfer;
  }
  std::unique_ptr<Communicator> split(int color) override {
    auto part = inner_.split(color);
    auto waiting = std::make_unique<WaitingCommunicator>(*part, traffic_);
    waiting->owned_ = std::move(part);
    return waiting;
  }

 private:
  class Sending final : public Transfer {
   public:
    Sending(std::unique_ptr<Transfer> inner, Traffic& traffic, int64_t number)
        : inner_(std::move(inner)), traffic_(traffic), number_(number) {}
    bool done() override {
      if (traffic_.taken <= number_) return false;
      if (traffic_.refusals > 0) {
        --traffic_.refusals;
        return false;
      }
      return inner_->done();
    }

   private:
    const std::unique_ptr<Transfer> inner_;
    Traffic& traffic_;
    const int64_t number_;
  };

  std::unique_ptr<Communicator> owned_;
  Communicator& inner_;
  Traffic& traffic_;
};

}  // namespace bitmill

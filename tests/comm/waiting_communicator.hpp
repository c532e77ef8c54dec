#pragma once
// A communicator in which a message is finished only when the receiver has begun to take it, as it
// is with large messages: send() waits for that, and a started send is not done before. For this,
// the receiver answers every message over a communicator that only carries answers. It counts
// started messages.
//
// A send() that nobody takes for five seconds is an error: most likely two sends cross, and both
// ranks wait for each other. Broadcasts, exchanges and barriers go to the inner communicator.

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/pause.hpp"
#include "base/stopwatch.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

// Messages of all ranks together that start_send() and start_receive() began.
struct Traffic {
  std::atomic<int64_t> sent = 0, taken = 0;
  std::atomic<int> refusals = 0;  // how often done() of a finished send still returns false
};

class WaitingCommunicator final : public Communicator {
 public:
  // Collective. Both arguments outlive it; the ranks of one process use the same `traffic`.
  WaitingCommunicator(Communicator& inner, Traffic& traffic)
      : inner_(inner),
        answers_(inner.split(0)),
        traffic_(traffic),
        sent_(static_cast<size_t>(inner.size())),
        answered_(sent_.size()) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  void barrier() override { inner_.barrier(); }
  void broadcast(std::span<std::byte> data, int root) override { inner_.broadcast(data, root); }
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    inner_.exchange(to, from);
  }
  void send(std::span<const std::byte> data, int to) override {
    inner_.send(data, to);
    const int64_t number = ++sent_[static_cast<size_t>(to)];
    const Stopwatch watch;
    for (Pause pause; !is_answered(number, to); pause()) {
      BITMILL_CHECK(watch.seconds() < 5, CommError,
                    fmt::format("nobody takes what rank {} sends to rank {}", rank(), to));
    }
  }
  void receive(std::span<std::byte> data, int from) override {
    inner_.receive(data, from);
    answer(from);
  }
  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override {
    auto transfer = inner_.start_send(data, to);
    ++traffic_.sent;
    return std::make_unique<Sending>(std::move(transfer), *this, ++sent_[static_cast<size_t>(to)],
                                     to);
  }
  std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) override {
    auto transfer = inner_.start_receive(data, from);
    if (!transfer) return nullptr;
    ++traffic_.taken;
    answer(from);
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
    Sending(std::unique_ptr<Transfer> inner, WaitingCommunicator& comm, int64_t number, int to)
        : inner_(std::move(inner)), comm_(comm), number_(number), to_(to) {}
    bool done() override {
      answered_ = answered_ || comm_.is_answered(number_, to_);
      if (!answered_) return false;
      if (comm_.traffic_.refusals > 0) {
        --comm_.traffic_.refusals;
        return false;
      }
      return inner_->done();
    }

   private:
    const std::unique_ptr<Transfer> inner_;
    WaitingCommunicator& comm_;
    const int64_t number_;
    const int to_;
    bool answered_ = false;
  };

  void answer(int to) {
    constexpr std::array<std::byte, 1> yes = {};
    answers_->send(yes, to);
  }

  // Whether rank `to` has answered the message with this number, counted from 1.
  bool is_answered(int64_t number, int to) {
    int64_t& answered = answered_[static_cast<size_t>(to)];
    std::array<std::byte, 1> yes;
    while (answered < number) {
      const auto transfer = answers_->start_receive(yes, to);
      if (!transfer) return false;
      while (!transfer->done()) {
      }
      ++answered;
    }
    return true;
  }

  std::unique_ptr<Communicator> owned_;  // in the result of a split(): the owner of `inner_`
  Communicator& inner_;
  const std::unique_ptr<Communicator> answers_;
  Traffic& traffic_;
  std::vector<int64_t> sent_, answered_;  // by the other rank
};

}  // namespace bitmill

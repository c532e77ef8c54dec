#pragma once
// A communicator that never sends eagerly: a message is finished only when the receiver has begun
// to take it, as it is with large messages. send() waits for that, and a started send is not done
// before. For this, the receiver answers every message over a communicator that only carries
// answers. Collective calls end on no rank before all ranks have come to them. Started messages are
// counted.
//
// What nobody takes, or where not all ranks come, within Traffic::patience_s is an error: most
// likely two sends cross, and both ranks wait for each other. MPI never promises more than this
// communicator does, so what runs on it is right for any MPI.

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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
  std::atomic<int64_t> most_kept = 0;  // the most that were sent and not taken at one time
  std::atomic<int> refusals = 0;       // how often done() of a finished send still returns false
  double patience_s = 5;               // set it before the ranks begin
};

class WaitingCommunicator final : public Communicator {
 public:
  // Collective. Both arguments outlive it; the ranks of one process use the same `traffic`.
  WaitingCommunicator(Communicator& inner, Traffic& traffic)
      : inner_(inner),
        answers_(inner.split(0)),
        meetings_(inner.split(0)),
        traffic_(traffic),
        sent_(static_cast<size_t>(inner.size())),
        answered_(sent_.size()) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int job_rank(int rank) const override { return inner_.job_rank(rank); }
  void waits_for(std::string_view what) override { inner_.waits_for(what); }

  void barrier() override { meet("barrier"); }
  void broadcast(std::span<std::byte> data, int root) override {
    meet("broadcast");
    inner_.broadcast(data, root);
  }
  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    meet("exchange");
    inner_.exchange(to, from);
  }
  void send(std::span<const std::byte> data, int to) override {
    inner_.send(data, to);
    const int64_t number = ++sent_[static_cast<size_t>(to)];
    wait_until(
        [&] { return is_answered(number, to); },
        [&] { return fmt::format("nobody takes what rank {} sends to rank {}", rank(), to); });
  }
  void receive(std::span<std::byte> data, int from) override {
    inner_.receive(data, from);
    answer(from);
  }
  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override {
    count_sent();
    auto transfer = inner_.start_send(data, to);
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

  void count_sent() {
    const int64_t kept = ++traffic_.sent - traffic_.taken;
    for (int64_t most = traffic_.most_kept;
         most < kept && !traffic_.most_kept.compare_exchange_weak(most, kept);) {
    }
  }

  void wait_until(const std::function<bool()>& ready, const std::function<std::string()>& words) {
    const Stopwatch watch;
    for (Pause pause; !ready(); pause()) {
      BITMILL_CHECK(watch.seconds() < traffic_.patience_s, CommError, words());
    }
  }

  // Waits until all ranks have called it.
  void meet(const char* call) {
    std::array<std::byte, 1> word = {};
    for (int to = 0; to < size(); ++to) {
      if (to != rank()) meetings_->start_send(word, to);  // is copied at once
    }
    for (int from = 0; from < size(); ++from) {
      if (from == rank()) continue;
      wait_until([&] { return meetings_->start_receive(word, from) != nullptr; },
                 [&] {
                   return fmt::format("{} on rank {}: rank {} does not come to it", call, rank(),
                                      from);
                 });
    }
  }

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
  const std::unique_ptr<Communicator> answers_, meetings_;
  Traffic& traffic_;
  std::vector<int64_t> sent_, answered_;  // by the other rank
};

}  // namespace bitmill

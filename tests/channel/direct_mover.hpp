#pragma once
// A Mover that behaves like NCCL, over a communicator: it sends without asking the other side.
// Where the ranks are threads, a Ledger checks the order: a send that begins before its receive is
// a mistake of the caller.

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "channel/mover.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

// Counts what was begun between each two ranks. All ranks use the same one.
struct Ledger {
  struct Pair {
    std::atomic<int> sends = 0, receives = 0, received = 0;
    std::atomic<int> most_under_way = 0;  // largest number of receives begun and not finished
  };
  Pair& pair(int from, int to) { return pairs[static_cast<size_t>(from * most_ranks + to)]; }

  static constexpr int most_ranks = 8;
  std::vector<Pair> pairs = std::vector<Pair>(most_ranks * most_ranks);
};

class DirectMover final : public Mover {
 public:
  // `data` outlives it, and nothing else is sent over it; `ledger` may be null.
  DirectMover(Communicator& data, Ledger* ledger) : data_(data), ledger_(ledger) {}

  at::Device place() const override { return at::kCPU; }
  std::unique_ptr<Transfer> send(const at::Tensor& value, int to) override {
    if (ledger_ != nullptr) note_send(ledger_->pair(data_.rank(), to));
    return data_.start_send(bytes(value), to);
  }
  std::unique_ptr<Transfer> receive(const at::Tensor& room, int from) override {
    if (ledger_ != nullptr) note_receive(ledger_->pair(from, data_.rank()));
    return std::make_unique<Receiving>(data_, bytes(room), from, ledger_);
  }
  std::unique_ptr<Transfer> exchange(std::span<const at::Tensor> to,
                                     std::span<const at::Tensor> from) override {
    auto all = std::make_unique<All>();
    for (int p = 0; p < data_.size(); ++p) {
      const auto i = static_cast<size_t>(p);
      if (p == data_.rank()) continue;
      if (to[i].defined()) all->parts.push_back(data_.start_send(bytes(to[i]), p));
      if (from[i].defined()) {
        all->parts.push_back(std::make_unique<Receiving>(data_, bytes(from[i]), p, nullptr));
      }
    }
    return all;
  }

 private:
  class Receiving final : public Transfer {
   public:
    Receiving(Communicator& data, std::span<std::byte> room, int from, Ledger* ledger)
        : data_(data), room_(room), from_(from), ledger_(ledger) {}
    bool done() override {
      if (!inner_) inner_ = data_.start_receive(room_, from_);
      if (!inner_ || !inner_->done()) return false;
      if (ledger_ != nullptr) ++ledger_->pair(from_, data_.rank()).received;
      return true;
    }

   private:
    Communicator& data_;
    const std::span<std::byte> room_;
    const int from_;
    Ledger* const ledger_;
    std::unique_ptr<Transfer> inner_;
  };
  class All final : public Transfer {
   public:
    bool done() override {
      std::erase_if(parts, [](const auto& part) { return part->done(); });
      return parts.empty();
    }
    std::vector<std::unique_ptr<Transfer>> parts;
  };

  static std::span<std::byte> bytes(const at::Tensor& tensor) {
    return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
  }
  static void note_send(Ledger::Pair& pair) {
    const int number = ++pair.sends;
    if (number <= pair.receives) return;
    throw std::logic_error(fmt::format("send {} was begun before its receive", number));
  }
  static void note_receive(Ledger::Pair& pair) {
    const int under_way = ++pair.receives - pair.received;
    if (under_way > pair.most_under_way) pair.most_under_way = under_way;
  }

  Communicator& data_;
  Ledger* const ledger_;
};

}  // namespace bitmill

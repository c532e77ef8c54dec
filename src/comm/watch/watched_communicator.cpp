#include "comm/watch/watched_communicator.hpp"

#include <fmt/format.h>

#include <array>

namespace bitmill {
namespace {

enum Call : uint64_t {
  none,
  barrier_call,
  broadcast_call,
  exchange_call,
  send_call,
  receive_call,
  split_call,
};
// Words for each Call; where there is a peer, its rank follows.
constexpr std::array<const char*, 7> words = {"",         "barrier",       "broadcast of rank ",
                                              "exchange", "send to rank ", "receive from rank ",
                                              "split"};

// Longer than any pause, on a busy machine too.
constexpr std::chrono::seconds longest_silence(1);

bool has_peer(uint64_t call) {
  return call == broadcast_call || call == send_call || call == receive_call;
}

}  // namespace

// Marks a call as under way while it lives. A call that failed is over, but does not count as done.
class WatchedCommunicator::Mark {
 public:
  Mark(WatchedCommunicator& comm, Call call, int peer) : comm_(comm) {
    comm_.calls_.under_way = call << 32 | static_cast<uint32_t>(comm.job_rank(peer));
  }
  ~Mark() { comm_.calls_.under_way = none; }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void done() { ++comm_.calls_.done; }

 private:
  WatchedCommunicator& comm_;
};

class WatchedCommunicator::WatchedTransfer final : public Transfer {
 public:
  WatchedTransfer(std::unique_ptr<Transfer> inner, Calls& calls)
      : inner_(std::move(inner)), calls_(calls) {}

  bool done() override {
    if (!inner_->done()) return false;
    ++calls_.done;
    return true;
  }

 private:
  const std::unique_ptr<Transfer> inner_;
  Calls& calls_;
};

void WatchedCommunicator::barrier() {
  Mark mark(*this, barrier_call, 0);
  inner_.barrier();
  mark.done();
}

void WatchedCommunicator::broadcast(std::span<std::byte> data, int root) {
  Mark mark(*this, broadcast_call, root);
  inner_.broadcast(data, root);
  mark.done();
}

void WatchedCommunicator::exchange(std::span<const std::span<const std::byte>> to,
                                   std::span<const std::span<std::byte>> from) {
  Mark mark(*this, exchange_call, 0);
  inner_.exchange(to, from);
  mark.done();
}

void WatchedCommunicator::send(std::span<const std::byte> data, int to) {
  Mark mark(*this, send_call, to);
  inner_.send(data, to);
  mark.done();
}

void WatchedCommunicator::receive(std::span<std::byte> data, int from) {
  Mark mark(*this, receive_call, from);
  inner_.receive(data, from);
  mark.done();
}

std::unique_ptr<Transfer> WatchedCommunicator::start_send(std::span<const std::byte> data, int to) {
  return std::make_unique<WatchedTransfer>(inner_.start_send(data, to), calls_);
}

std::unique_ptr<Transfer> WatchedCommunicator::start_receive(std::span<std::byte> data, int from) {
  auto transfer = inner_.start_receive(data, from);
  if (!transfer) return nullptr;
  return std::make_unique<WatchedTransfer>(std::move(transfer), calls_);
}

std::unique_ptr<Communicator> WatchedCommunicator::split(int color) {
  Mark mark(*this, split_call, 0);
  auto part = inner_.split(color);
  mark.done();
  return std::unique_ptr<Communicator>(new WatchedCommunicator(std::move(part), *this));
}

void WatchedCommunicator::waits_for(std::string_view what) {
  const std::lock_guard lock(calls_.mutex);
  calls_.awaited = what;
  calls_.waited_at = std::chrono::steady_clock::now();
}

std::string WatchedCommunicator::call_under_way() const {
  const uint64_t now = calls_.under_way;
  const uint64_t call = now >> 32;
  if (call == none) {
    const std::lock_guard lock(calls_.mutex);
    const auto silent = std::chrono::steady_clock::now() - calls_.waited_at;
    if (calls_.awaited.empty() || silent > longest_silence) return "";
    return "waiting for " + calls_.awaited;
  }
  return has_peer(call) ? fmt::format("{}{}", words[call], static_cast<uint32_t>(now))
                        : words[call];
}

}  // namespace bitmill

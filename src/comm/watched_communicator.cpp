#include "comm/watched_communicator.hpp"

#include <fmt/format.h>

#include <array>

namespace bitmill {
namespace {

enum Call : uint64_t { none, barrier_call, broadcast_call, exchange_call, send_call, receive_call };
// By Call, before the peer.
constexpr std::array<const char*, 6> words = {"",         "barrier",       "broadcast of rank ",
                                              "exchange", "send to rank ", "receive from rank "};

bool has_peer(uint64_t call) { return call != barrier_call && call != exchange_call; }

}  // namespace

// A call that failed is not done, but it is over.
class WatchedCommunicator::Mark {
 public:
  Mark(WatchedCommunicator& comm, Call call, int peer) : comm_(comm) {
    comm_.under_way_ = call << 32 | static_cast<uint32_t>(peer);
  }
  ~Mark() { comm_.under_way_ = none; }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void done() { ++comm_.calls_done_; }

 private:
  WatchedCommunicator& comm_;
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

std::string WatchedCommunicator::call_under_way() const {
  const uint64_t now = under_way_;
  const uint64_t call = now >> 32;
  if (call == none) return "";
  return has_peer(call) ? fmt::format("{}{}", words[call], static_cast<uint32_t>(now))
                        : words[call];
}

}  // namespace bitmill

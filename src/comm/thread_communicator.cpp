#include "comm/thread_communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "comm/call_check.hpp"

namespace bitmill {
namespace {

using Message = std::vector<std::byte>;

// How a call ended that may depend on another rank.
enum class Outcome { done, peer_returned, peer_failed };

// Everything the ranks share. A rank that fails or returns wakes those who wait for it: a test must
// fail, not hang.
class World {
 public:
  explicit World(int size)
      : size_(size), mail_(static_cast<size_t>(size) * static_cast<size_t>(size)) {}

  int size() const { return size_; }

  Outcome post(int from, int to, std::span<const std::byte> data) {
    Message message(data.begin(), data.end());
    const std::lock_guard lock(mutex_);
    if (first_error_) return Outcome::peer_failed;
    box(from, to).push_back(std::move(message));
    changed_.notify_all();
    return Outcome::done;
  }

  Outcome take(int from, int to, Message& message) {
    std::unique_lock lock(mutex_);
    auto& messages = box(from, to);
    changed_.wait(lock, [&] {
      return first_error_ || !messages.empty() || returned_[static_cast<size_t>(from)];
    });
    if (first_error_) return Outcome::peer_failed;
    if (messages.empty()) return Outcome::peer_returned;
    message = std::move(messages.front());
    messages.pop_front();
    return Outcome::done;
  }

  Outcome meet() {
    std::unique_lock lock(mutex_);
    const int64_t mine = meetings_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++meetings_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return first_error_ || meetings_ != mine || any_returned(); });
    if (meetings_ != mine) return Outcome::done;
    return first_error_ ? Outcome::peer_failed : Outcome::peer_returned;
  }

  void rank_returned(int rank) {
    const std::lock_guard lock(mutex_);
    returned_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
  }

  void rank_failed(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!first_error_) first_error_ = error;
    changed_.notify_all();
  }

  // To be asked when all ranks have ended.
  std::exception_ptr first_error() const { return first_error_; }

 private:
  std::deque<Message>& box(int from, int to) {
    return mail_[static_cast<size_t>(from) * static_cast<size_t>(size_) + static_cast<size_t>(to)];
  }
  bool any_returned() const {
    return std::find(returned_.begin(), returned_.end(), true) != returned_.end();
  }

  const int size_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::vector<std::deque<Message>> mail_;  // [from * size + to]
  int arrived_ = 0;                        // at the barrier that is under way
  int64_t meetings_ = 0;                   // barriers passed
  std::vector<bool> returned_ = std::vector<bool>(static_cast<size_t>(size_), false);
  std::exception_ptr first_error_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(World& world, int rank) : world_(world), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return world_.size(); }

  void barrier() override { check("barrier", "another rank", world_.meet()); }

  void broadcast(std::span<std::byte> data, int root) override {
    check_rank(*this, "broadcast", root);
    if (rank_ != root) return take("broadcast", data, root);
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank_) post("broadcast", data, peer);
    }
  }

  void exchange(std::span<const std::span<const std::byte>> to,
                std::span<const std::span<std::byte>> from) override {
    copy_own_entry(*this, to, from);
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank_) post("exchange", to[static_cast<size_t>(peer)], peer);
    }
    for (int peer = 0; peer < size(); ++peer) {
      if (peer != rank_) take("exchange", from[static_cast<size_t>(peer)], peer);
    }
  }

  void send(std::span<const std::byte> data, int to) override {
    check_peer(*this, "send", to);
    post("send", data, to);
  }

  void receive(std::span<std::byte> data, int from) override {
    check_peer(*this, "receive", from);
    take("receive", data, from);
  }

 private:
  void check(const char* call, const std::string& peer, Outcome outcome) const {
    BITMILL_CHECK(outcome != Outcome::peer_failed, CommError,
                  fmt::format("{} with {}: a rank failed", describe_call(*this, call), peer));
    BITMILL_CHECK(outcome != Outcome::peer_returned, CommError,
                  fmt::format("{} with {}, which has returned", describe_call(*this, call), peer));
  }

  void post(const char* call, std::span<const std::byte> data, int to) {
    check(call, fmt::format("rank {}", to), world_.post(rank_, to, data));
  }

  void take(const char* call, std::span<std::byte> data, int from) {
    Message message;
    check(call, fmt::format("rank {}", from), world_.take(from, rank_, message));
    BITMILL_CHECK(message.size() == data.size(), CommError,
                  fmt::format("{}: rank {} sent {} bytes where {} were expected",
                              describe_call(*this, call), from, message.size(), data.size()));
    std::copy(message.begin(), message.end(), data.begin());
  }

  World& world_;
  const int rank_;
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  assert(size >= 1);
  World world(size);
  {
    std::vector<std::jthread> ranks;  // joined at the end of the scope
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&world, &body, rank] {
        try {
          ThreadCommunicator comm(world, rank);
          body(comm);
          world.rank_returned(rank);
        } catch (...) {
          world.rank_failed(std::current_exception());
        }
      });
    }
  }
  if (world.first_error()) std::rethrow_exception(world.first_error());
}

}  // namespace bitmill

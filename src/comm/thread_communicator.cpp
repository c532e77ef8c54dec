#include "comm/thread_communicator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "comm/call_check.hpp"
#include "comm/gather.hpp"

namespace bitmill {
namespace {

using Message = std::vector<std::byte>;

// How a call ended, when it depends on another rank.
enum class Outcome { done, peer_returned, peer_failed };

// The ranks of one communicator, and the messages that are under way between them.
struct Group {
  explicit Group(std::vector<int> ranks)
      : members(std::move(ranks)), mail(members.size() * members.size()), splits(members.size()) {}

  std::deque<Message>& box(int from, int to) {
    return mail[static_cast<size_t>(from) * members.size() + static_cast<size_t>(to)];
  }

  const std::vector<int> members;         // their ranks in the world
  std::vector<std::deque<Message>> mail;  // [from * members + to]
  int arrived = 0;                        // at the barrier that is under way
  int64_t meetings = 0;                   // barriers passed
  std::vector<int> splits;                // [members] split() calls of a member so far
  std::map<std::pair<int, int>, std::unique_ptr<Group>> parts;  // by (number of the split, color)
};

// Everything that the ranks have in common. A rank that fails or returns wakes the ranks that wait
// for it: a test must fail, not hang.
class World {
 public:
  explicit World(int size) : all_(one_to(size)), returned_(static_cast<size_t>(size), false) {}

  Group& all() { return all_; }

  Outcome post(Group& group, int from, int to, std::span<const std::byte> data) {
    Message message(data.begin(), data.end());
    const std::lock_guard lock(mutex_);
    if (first_error_) return Outcome::peer_failed;
    group.box(from, to).push_back(std::move(message));
    changed_.notify_all();
    return Outcome::done;
  }

  // Takes the next message. With `wait` it waits for one; without, it leaves `message` empty when
  // there is none.
  Outcome take(Group& group, int from, int to, bool wait, std::optional<Message>& message) {
    std::unique_lock lock(mutex_);
    auto& messages = group.box(from, to);
    const auto over = [&] {
      return first_error_ || !messages.empty() || has_returned(group, from);
    };
    if (wait) changed_.wait(lock, over);
    if (!over()) return Outcome::done;
    if (first_error_) return Outcome::peer_failed;
    if (messages.empty()) return Outcome::peer_returned;
    message = std::move(messages.front());
    messages.pop_front();
    return Outcome::done;
  }

  Outcome meet(Group& group) {
    std::unique_lock lock(mutex_);
    const int64_t mine = group.meetings;
    if (++group.arrived == std::ssize(group.members)) {
      group.arrived = 0;
      ++group.meetings;
      changed_.notify_all();
    }
    changed_.wait(lock,
                  [&] { return first_error_ || group.meetings != mine || any_returned(group); });
    if (group.meetings != mine) return Outcome::done;
    return first_error_ ? Outcome::peer_failed : Outcome::peer_returned;
  }

  // The group that a split() makes of `members`: the same object for each of them.
  Group& part(Group& group, int rank, int color, const std::vector<int>& members) {
    const std::lock_guard lock(mutex_);
    auto& part = group.parts[{group.splits[static_cast<size_t>(rank)]++, color}];
    if (!part) part = std::make_unique<Group>(members);
    return *part;
  }

  void rank_returned(int rank) {
    const std::lock_guard lock(mutex_);
    returned_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
  }

  void rank_failed(const std::exception_ptr& error) {
    const std::lock_guard lock(mutex_);
    if (!first_error_) first_error_ = error;
    changed_.notify_all();
  }

  // REQUIRES: all ranks have ended.
  std::exception_ptr first_error() const { return first_error_; }

 private:
  static std::vector<int> one_to(int size) {
    std::vector<int> ranks(static_cast<size_t>(size));
    std::iota(ranks.begin(), ranks.end(), 0);
    return ranks;
  }
  bool has_returned(const Group& group, int member) const {
    return returned_[static_cast<size_t>(group.members[static_cast<size_t>(member)])];
  }
  bool any_returned(const Group& group) const {
    return std::ranges::any_of(group.members,
                               [&](int rank) { return returned_[static_cast<size_t>(rank)]; });
  }

  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Group all_;
  std::vector<bool> returned_;
  std::exception_ptr first_error_;
};

// A message that was copied when it was started: it is finished already.
class Copied final : public Transfer {
 public:
  bool done() override { return true; }
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(World& world, Group& group, int rank)
      : world_(world), group_(group), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(group_.members.size()); }
  int job_rank(int rank) const override {
    return 0 <= rank && rank < size() ? group_.members[static_cast<size_t>(rank)] : rank;
  }

  void barrier() override { check("barrier", "another rank", world_.meet(group_)); }

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

  std::unique_ptr<Transfer> start_send(std::span<const std::byte> data, int to) override {
    check_peer(*this, "start_send", to);
    post("start_send", data, to);
    return std::make_unique<Copied>();
  }

  std::unique_ptr<Transfer> start_receive(std::span<std::byte> data, int from) override {
    check_peer(*this, "start_receive", from);
    if (!take_message("start_receive", data, from, false)) return nullptr;
    return std::make_unique<Copied>();
  }

  std::unique_ptr<Communicator> split(int color) override {
    const std::vector<int> colors = gather_value(*this, color);
    std::vector<int> members;
    int rank = 0;
    for (int peer = 0; peer < size(); ++peer) {
      if (colors[static_cast<size_t>(peer)] != color) continue;
      if (peer < rank_) ++rank;
      members.push_back(group_.members[static_cast<size_t>(peer)]);
    }
    return std::make_unique<ThreadCommunicator>(world_, world_.part(group_, rank_, color, members),
                                                rank);
  }

 private:
  void check(const char* call, const std::string& peer, Outcome outcome) const {
    BITMILL_CHECK(outcome != Outcome::peer_failed, CommError,
                  fmt::format("{} with {}: a rank failed", describe_call(*this, call), peer));
    BITMILL_CHECK(outcome != Outcome::peer_returned, CommError,
                  fmt::format("{} with {}, which has returned", describe_call(*this, call), peer));
  }

  void post(const char* call, std::span<const std::byte> data, int to) {
    check(call, fmt::format("rank {}", job_rank(to)), world_.post(group_, rank_, to, data));
  }

  void take(const char* call, std::span<std::byte> data, int from) {
    take_message(call, data, from, true);
  }

  // False when `wait` is false and nothing has come.
  bool take_message(const char* call, std::span<std::byte> data, int from, bool wait) {
    std::optional<Message> message;
    check(call, fmt::format("rank {}", job_rank(from)),
          world_.take(group_, from, rank_, wait, message));
    if (!message) return false;
    BITMILL_CHECK(
        message->size() == data.size(), CommError,
        fmt::format("{}: rank {} sent {} bytes where {} were expected", describe_call(*this, call),
                    job_rank(from), message->size(), data.size()));
    std::copy(message->begin(), message->end(), data.begin());
    return true;
  }

  World& world_;
  Group& group_;
  const int rank_;
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& body) {
  assert(size >= 1);
  World world(size);
  {
    std::vector<std::jthread> ranks;  // joined at the end of the scope
    ranks.reserve(static_cast<size_t>(size));
    for (int rank = 0; rank < size; ++rank) {
      ranks.emplace_back([&world, &body, rank] {
        try {
          ThreadCommunicator comm(world, world.all(), rank);
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

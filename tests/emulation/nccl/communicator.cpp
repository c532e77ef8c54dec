#include "emulation/nccl/communicator.hpp"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>

#include "emulation/nccl/bootstrap.hpp"
#include "emulation/runtime/leaks.hpp"
#include "emulation/runtime/settings.hpp"

using bitmill::fake_nccl::Header;
using bitmill::fake_nccl::Joined;
using bitmill::fake_nccl::Link;
using bitmill::fake_nccl::Operation;
using bitmill::fake_nccl::Word;

namespace {

constexpr int poll_ms = 5;  // how soon ncclCommAbort is heard
void short_pause() { usleep(1000); }

struct Known {
  std::mutex mutex;
  std::set<const ncclComm*> all;
};
Known& known() {
  static auto* once = new Known;
  return *once;
}

}  // namespace

struct ncclComm::Open {
  std::vector<std::deque<Operation>> sends, receives;  // by peer
  bool wants(const std::vector<Link>& links, size_t peer) const {
    return !sends[peer].empty() || !receives[peer].empty() || links[peer].has_to_write();
  }
};

ncclComm::~ncclComm() { join_background(); }

void ncclComm::join_background() {
  if (background_.joinable()) background_.join();
}

void ncclComm::connect(const ncclUniqueId& id) {
  die_or_stall();
  if (aborted_) return fail(ncclInternalError, "given up while it connects");
  const auto& devices = bitmill::fake_cuda::settings().devices;
  Joined joined = bitmill::fake_nccl::join(id, rank, count, devices.at(static_cast<size_t>(device)),
                                           [this] { return aborted_.load(); });
  if (joined.result != ncclSuccess) return fail(joined.result, joined.message);
  for (bitmill::fake_nccl::Socket& socket : joined.peers) links_.emplace_back(std::move(socket));
  state_ = ncclSuccess;
}

std::string ncclComm::message() const {
  const std::lock_guard lock(message_mutex_);
  return message_;
}

void ncclComm::fail(ncclResult_t result, const std::string& why) {
  {
    const std::lock_guard lock(message_mutex_);
    if (message_.empty()) message_ = why;
  }
  std::fprintf(stderr, "emulation: NCCL, rank %d: %s\n", rank, why.c_str());
  state_ = result;
}

void ncclComm::hang(ncclResult_t result, const std::string& why) {
  if (!bitmill::fake_cuda::settings().nccl_silent || result != ncclRemoteError) fail(result, why);
  while (!aborted_) short_pause();
}

bool ncclComm::is_at(const std::optional<bitmill::fake_cuda::RankOperation>& operation) const {
  return operation && operation->rank == rank && operation->nth == operations_;
}

void ncclComm::wait_for_users() const {
  while (users > 0) short_pause();
}

// Sends for which the peer is ready are written.
void ncclComm::serve_ready(Open* open) {
  for (size_t peer = 0; peer < links_.size(); ++peer) {
    Link& link = links_[peer];
    std::deque<Operation>& sends = open->sends[peer];
    for (; !link.ready_for.empty() && !sends.empty();
         link.ready_for.pop_front(), sends.pop_front()) {
      const Operation& operation = sends.front();
      const Header& wanted = link.ready_for.front();
      if (wanted.bytes == operation.bytes && wanted.kind == operation.kind) {
        link.queue(Header{Word::data, operation.kind, operation.bytes});
        link.queue(operation.data, operation.bytes);
        continue;
      }
      link.queue(Header{Word::mismatch, operation.kind, operation.bytes});
      while (link.has_to_write() && link.write_some()) {
      }
      return hang(ncclInvalidUsage, "sends " + std::to_string(operation.bytes) + " bytes to rank " +
                                        std::to_string(peer) + ", which waits for " +
                                        std::to_string(wanted.bytes));
    }
  }
}

// False after abort().
bool ncclComm::poll_once(Open* open) {
  std::vector<pollfd> descriptors;
  for (size_t peer = 0; peer < links_.size(); ++peer) {
    const bool wants = open->wants(links_, peer);
    const int events = POLLIN | (links_[peer].has_to_write() ? POLLOUT : 0);
    descriptors.push_back({wants ? links_[peer].descriptor() : -1, static_cast<short>(events), 0});
  }
  poll(descriptors.data(), descriptors.size(), poll_ms);
  for (size_t peer = 0; peer < links_.size() && !aborted_; ++peer) {
    Link& link = links_[peer];
    const short events = descriptors[peer].fd < 0 ? short{0} : descriptors[peer].revents;
    bool there = true, mismatch = false;
    if ((events & POLLOUT) != 0 && link.has_to_write()) there = link.write_some();
    if (there && (events & (POLLIN | POLLHUP | POLLERR)) != 0) {
      there = link.read_some(&open->receives[peer], &mismatch);
    }
    if (!there) hang(ncclRemoteError, "lost rank " + std::to_string(peer));
    if (mismatch) {
      hang(ncclInvalidUsage, "rank " + std::to_string(peer) +
                                 " sends another number of bytes than this one waits for");
    }
  }
  return !aborted_;
}

void ncclComm::die_or_stall() const {
  const auto& settings = bitmill::fake_cuda::settings();
  if (is_at(settings.nccl_dies)) _exit(0);
  while (is_at(settings.nccl_stalls) && !aborted_) short_pause();
}

void ncclComm::stall_in_abort() const {
  const auto& stalls = bitmill::fake_cuda::settings().nccl_stalls;
  while (stalls && stalls->rank == rank && stalls->nth < 0) short_pause();
}

void ncclComm::carry_out(const std::vector<Operation>& operations) {
  const std::lock_guard lock(one_at_a_time_);
  if (aborted_) return;
  ++operations_;
  die_or_stall();
  Open open{std::vector<std::deque<Operation>>(links_.size()),
            std::vector<std::deque<Operation>>(links_.size())};
  for (const Operation& operation : operations) {
    (operation.sends ? open.sends : open.receives)[static_cast<size_t>(operation.peer)].push_back(
        operation);
  }
  const auto self = static_cast<size_t>(rank);
  for (auto *to = &open.receives[self], *from = &open.sends[self]; !to->empty() && !from->empty();
       to->pop_front(), from->pop_front()) {
    if (to->front().bytes != from->front().bytes) {
      return hang(ncclInvalidUsage, "sends itself another number of bytes than it receives");
    }
    std::memmove(to->front().data, from->front().data, to->front().bytes);
  }
  for (size_t peer = 0; peer < links_.size(); ++peer) {
    if (peer == self) continue;
    for (const Operation& operation : open.receives[peer]) {
      links_[peer].queue(Header{Word::ready, operation.kind, operation.bytes});
    }
  }
  for (;;) {
    serve_ready(&open);
    bool busy = false;
    for (size_t peer = 0; peer < links_.size(); ++peer) busy = busy || open.wants(links_, peer);
    if (!busy || aborted_ || !poll_once(&open)) return;
  }
}

namespace bitmill::fake_nccl {

void add_communicator(ncclComm* comm) {
  const std::lock_guard lock(known().mutex);
  known().all.insert(comm);
  fake_cuda::count_live("NCCL communicators", 1);
}

bool is_communicator(const ncclComm* comm) {
  const std::lock_guard lock(known().mutex);
  return known().all.count(comm) > 0;
}

void remove_communicator(ncclComm* comm) {
  const std::lock_guard lock(known().mutex);
  known().all.erase(comm);
  fake_cuda::count_live("NCCL communicators", -1);
}

}  // namespace bitmill::fake_nccl

#include "channel/channel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/error.hpp"
#include "base/pause.hpp"

namespace bitmill {
namespace {

// Every tensor waits for an answer before its bytes move, and answers are given only while a rank
// calls. One that moves and one that waits behind it are the least that keep a link busy; more than
// 16 gain nothing.
constexpr size_t bytes_under_way = size_t{16} << 20, fewest = 2, most = 16;

// An undefined tensor is nothing.
size_t size_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.nbytes() : 0; }

}  // namespace

bool Channel::Lane::has_place(size_t more) const {
  if (under_way.size() < fewest) return true;
  return under_way.size() < most && bytes + more <= bytes_under_way;
}

void Channel::Lane::begin(std::shared_ptr<Moving> moving, std::unique_ptr<Transfer> transfer) {
  moving->transfer = std::move(transfer);
  bytes += moving->tensor.nbytes();
  under_way.push_back(std::move(moving));
}

bool Channel::Lane::let_go() {
  bool any = false;
  for (; !under_way.empty() && under_way.front()->transfer->done(); any = true) {
    Moving& first = *under_way.front();
    bytes -= first.tensor.nbytes();
    first.tensor.reset();
    first.transfer.reset();
    first.through = true;
    under_way.pop_front();
  }
  return any;
}

class Channel::Ticket final : public Transfer {
 public:
  Ticket(Channel& channel, std::shared_ptr<const Moving> moving)
      : channel_(channel), moving_(std::move(moving)) {}

  bool done() override {
    if (!moving_->through) channel_.move_on();
    return moving_->through;
  }

 private:
  Channel& channel_;
  const std::shared_ptr<const Moving> moving_;
};

std::unique_ptr<Transfer> Channel::start_send(const at::Tensor& value, int to) {
  check("start_send", value, to);
  auto moving = std::make_shared<Moving>(Moving{value});
  sends_[to].waiting.push_back(moving);
  move_on();
  return std::make_unique<Ticket>(*this, std::move(moving));
}

bool Channel::may_begin(size_t bytes, int to) {
  move_on();
  const Lane& lane = sends_[to];
  return lane.waiting.empty() && lane.has_place(bytes);
}

std::unique_ptr<Transfer> Channel::start_receive(const at::Tensor& room, int from) {
  check("start_receive", room, from);
  move_on();
  Lane& lane = receives_[from];
  if (!lane.has_place(room.nbytes())) return nullptr;
  auto transfer = form_->accept(room, from);
  if (!transfer) return nullptr;
  auto moving = std::make_shared<Moving>(Moving{room});
  lane.begin(moving, std::move(transfer));
  return std::make_unique<Ticket>(*this, std::move(moving));
}

void Channel::receive(const at::Tensor& room, int from) {
  std::unique_ptr<Transfer> transfer;
  for (Pause pause;; pause()) {
    if (!transfer) transfer = start_receive(room, from);
    if (transfer && transfer->done()) return;
  }
}

void Channel::exchange(std::span<const at::Tensor> to, std::span<const at::Tensor> from) {
  const auto ranks = static_cast<size_t>(size()), own = static_cast<size_t>(rank());
  BITMILL_CHECK(to.size() == ranks && from.size() == ranks, CommError,
                fmt::format("exchange on rank {}: {} tensors to send and {} to receive; there must "
                            "be one for each of {} ranks",
                            rank(), to.size(), from.size(), ranks));
  BITMILL_CHECK(size_of(to[own]) == size_of(from[own]), CommError,
                fmt::format("exchange on rank {}: {} bytes for itself into {} bytes", rank(),
                            size_of(to[own]), size_of(from[own])));
  for (const auto& tensors : {to, from}) {
    for ([[maybe_unused]] const at::Tensor& tensor : tensors) {
      assert(!tensor.defined() || tensor.is_contiguous());
    }
  }
  [[maybe_unused]] const bool nothing_before = quiet();
  assert(nothing_before);
  form_->exchange(to, from);
}

bool Channel::quiet() {
  move_on();
  const auto all_empty = [](const std::map<int, Lane>& lanes) {
    return std::ranges::all_of(lanes, [](const auto& lane) { return lane.second.is_empty(); });
  };
  return form_->settled() && all_empty(sends_) && all_empty(receives_);
}

void Channel::flush() {
  for (Pause pause; !quiet();) pause();
}

// What is through makes way for what waits behind it: a fast link carries all of it in one call.
void Channel::move_on() {
  for (auto& [to, lane] : sends_) {
    do {
      begin_waiting(lane, to);
    } while (lane.let_go() && !lane.waiting.empty());
  }
  for (auto& [from, lane] : receives_) lane.let_go();
}

void Channel::begin_waiting(Lane& lane, int to) {
  while (!lane.waiting.empty() && lane.has_place(lane.waiting.front()->tensor.nbytes())) {
    std::shared_ptr<Moving> next = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    auto transfer = form_->offer(next->tensor, to);
    lane.begin(std::move(next), std::move(transfer));
  }
}

void Channel::check(const char* call, [[maybe_unused]] const at::Tensor& tensor, int peer) const {
  assert(tensor.defined() && tensor.is_contiguous());
  BITMILL_CHECK(0 <= peer && peer < size() && peer != rank(), CommError,
                fmt::format("{} on rank {} of {}: rank {} is not another one of them", call, rank(),
                            size(), peer));
}

}  // namespace bitmill

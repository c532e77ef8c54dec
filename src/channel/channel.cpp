#include "channel/channel.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/error.hpp"
#include "comm/wait.hpp"

namespace bitmill {
namespace {

// Every tensor waits for an answer before its bytes move, and a rank answers only during its calls.
// A link stays busy with at least two tensors: one that moves, and one that waits. More than 16
// gain nothing.
constexpr size_t bytes_under_way = size_t{16} << 20, fewest = 2, most = 16;

// 0 for an undefined tensor.
size_t size_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.nbytes() : 0; }

}  // namespace

bool Channel::Lane::has_place(size_t more) const {
  if (under_way.size() < fewest) return true;
  return under_way.size() < most && bytes + more <= bytes_under_way;
}

void Channel::Lane::move_on() {
  while (!under_way.empty() && under_way.front()->transfer->done()) {
    Moving& first = *under_way.front();
    bytes -= first.tensor.nbytes();
    first.tensor.reset();
    first.transfer.reset();
    first.through = true;
    under_way.pop_front();
  }
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
  move_on();
  return begin(sends_[to], value, form_->offer(value, to));
}

bool Channel::has_place(size_t bytes, int to) {
  move_on();
  return sends_[to].has_place(bytes);
}

void Channel::wait_for_place(size_t bytes, int to) {
  if (has_place(bytes, to)) return;
  for (Wait wait(form_->communicator(), fmt::format("rank {} to take a tensor", to));
       !has_place(bytes, to);) {
    wait();
  }
}

int64_t Channel::most_under_way(size_t bytes) {
  return static_cast<int64_t>(
      std::clamp(bytes == 0 ? most : bytes_under_way / bytes, fewest, most));
}

std::unique_ptr<Transfer> Channel::start_receive(const at::Tensor& room, int from) {
  check("start_receive", room, from);
  move_on();
  Lane& lane = receives_[from];
  if (!lane.has_place(room.nbytes())) return nullptr;
  auto transfer = form_->accept(room, from);
  return transfer ? begin(lane, room, std::move(transfer)) : nullptr;
}

std::unique_ptr<Transfer> Channel::begin(Lane& lane, const at::Tensor& tensor,
                                         std::unique_ptr<Transfer> transfer) {
  auto moving = std::make_shared<Moving>(Moving{tensor, std::move(transfer)});
  lane.bytes += tensor.nbytes();
  lane.under_way.push_back(moving);
  return std::make_unique<Ticket>(*this, std::move(moving));
}

void Channel::receive(const at::Tensor& room, int from) {
  std::unique_ptr<Transfer> transfer;
  for (Wait wait(form_->communicator(), fmt::format("a tensor from rank {}", from));; wait()) {
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
      assert(!tensor.defined() || (tensor.is_contiguous() && tensor.device() == place()));
    }
  }
  [[maybe_unused]] const bool nothing_before = quiet();
  assert(nothing_before);
  form_->exchange(to, from);
}

bool Channel::quiet() {
  move_on();
  const auto all_empty = [](const std::map<int, Lane>& lanes) {
    return std::ranges::all_of(lanes,
                               [](const auto& lane) { return lane.second.under_way.empty(); });
  };
  return form_->settled() && all_empty(sends_) && all_empty(receives_);
}

void Channel::flush() {
  if (quiet()) return;
  for (Wait wait(form_->communicator(), what_is_under_way()); !quiet();) wait();
}

std::string Channel::what_is_under_way() {
  for (const auto& [to, lane] : sends_) {
    if (!lane.under_way.empty()) return fmt::format("rank {} to take a tensor", to);
  }
  for (const auto& [from, lane] : receives_) {
    if (!lane.under_way.empty()) return fmt::format("the rest of a tensor from rank {}", from);
  }
  return "others to take the words before a tensor";
}

void Channel::move_on() {
  for (auto& [to, lane] : sends_) lane.move_on();
  for (auto& [from, lane] : receives_) lane.move_on();
}

void Channel::check(const char* call, [[maybe_unused]] const at::Tensor& tensor, int peer) const {
  assert(tensor.defined() && tensor.is_contiguous() && tensor.device() == place());
  BITMILL_CHECK(0 <= peer && peer < size() && peer != rank(), CommError,
                fmt::format("{} on rank {} of {}: rank {} is not another one of them", call, rank(),
                            size(), peer));
}

}  // namespace bitmill

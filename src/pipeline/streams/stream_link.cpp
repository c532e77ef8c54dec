#include "pipeline/streams/stream_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

#include "channel/channel.hpp"
#include "comm/wait.hpp"

namespace bitmill {

// The sender sees that a box was taken only when the next box begins to move. So there must be room
// for a next box: the capacity is at least 2.
StreamLink::StreamLink(MeshRank& rank, std::function<at::Tensor()> room, int capacity)
    : rank_(rank),
      room_(std::move(room)),
      sample_bytes_(room_().nbytes()),
      capacity_(std::max(capacity, 2)) {
  assert(rank.mesh().stages >= 2);
}

// Repeats as long as something moves, because finished samples make place for those behind them. So
// a fast link carries all samples in one call, and still has no more of them under way at a time
// than a slow link.
void StreamLink::pump() {
  for (bool moved = true; moved;) {
    const bool sent = pump_sends();
    const bool received = pump_receives();
    moved = sent || received;
  }
}

// The last box that has gone may still wait on the other side. It is certainly taken only when the
// next box begins to move. Until then it counts against the capacity.
bool StreamLink::has_room() const {
  const bool one_may_wait = one_has_gone_ && (outgoing_.empty() || outgoing_.front().gone == 0);
  return std::ssize(outgoing_) + (one_may_wait ? 1 : 0) < capacity_;
}

void StreamLink::send(std::shared_ptr<StreamBox> box) {
  const int64_t samples = box->count();
  if (samples == 0) return;
  outgoing_.push_back({std::move(box), samples});
  pump_sends();
}

bool StreamLink::all_sent() { return outgoing_.empty() && rank_.streams().quiet(); }

bool StreamLink::pump_sends() {
  const bool gone = count_gone();
  const bool begun = begin_sends();
  return gone || begun;
}

bool StreamLink::count_gone() {
  bool any = false;
  for (; !sending_.empty() && sending_.front()->done(); any = true) {
    sending_.pop_front();
    Outgoing& first = outgoing_.front();
    if (++first.gone < first.samples) continue;
    outgoing_.pop_front();
    one_has_gone_ = true;
  }
  return any;
}

// Reads a sample, perhaps from disk, only when the channel has place for it.
bool StreamLink::begin_sends() {
  const int64_t before = begun_;
  for (Outgoing& one : outgoing_) {
    while (one.begun < one.samples && rank_.streams().has_place(sample_bytes_, rank_.next())) {
      sending_.push_back(rank_.streams().start_send(one.box->read(one.begun++), rank_.next()));
      ++begun_;
    }
  }
  return begun_ > before;
}

bool StreamLink::pump_receives() {
  if (!expected_) return false;
  Expected& now = *expected_;
  const int64_t before = received_ + now.here;
  while (now.here < now.samples) {
    start_receives(now.samples - now.here);
    if (receiving_.empty() || !receiving_.front().transfer->done()) break;
    if (!now.box) now.box = now.make();
    now.box->keep(now.here++, receiving_.front().sample);
    receiving_.pop_front();
  }
  return received_ + now.here > before;
}

// One that is there is kept, or dropped, before the next one begins: what lies here beside its box
// stays within what the channel lets be under way.
void StreamLink::start_receives(int64_t wanted) {
  const auto one_is_there = [&] {
    return !receiving_.empty() && receiving_.front().transfer->done();
  };
  while (std::ssize(receiving_) < wanted && !one_is_there()) {
    if (!empty_.defined()) empty_ = room_();
    auto transfer = rank_.streams().start_receive(empty_, rank_.previous());
    if (!transfer) return;
    receiving_.push_back({std::exchange(empty_, {}), std::move(transfer)});
    ++received_;
  }
}

void StreamLink::expect(int64_t samples, MakeBox make) {
  assert(!expected_);
  expected_.emplace(Expected{samples, std::move(make)});
}

std::shared_ptr<StreamBox> StreamLink::take() {
  assert(has_arrived());
  std::shared_ptr<StreamBox> box = std::move(expected_->box);
  if (!box) box = expected_->make();  // a box of no samples
  expected_.reset();
  return box;
}

std::vector<std::shared_ptr<StreamBox>> StreamLink::leave(
    const std::function<void()>& expect_next) {
  std::vector<std::shared_ptr<StreamBox>> boxes;
  for (Outgoing& one : outgoing_) {
    boxes.push_back(one.box);
    one.samples = one.begun;  // a sample whose sending has not begun is not sent
  }
  std::erase_if(outgoing_, [](const Outgoing& one) { return one.gone == one.samples; });
  const int64_t to_come = begun_before();
  Wait wait(rank_.control(), fmt::format("the samples under way from rank {} and to rank {}",
                                         rank_.previous(), rank_.next()));
  for (; !receiving_.empty() || received_ < to_come || !all_sent(); wait()) {
    count_gone();
    start_receives(std::ssize(receiving_) + to_come - received_);
    while (!receiving_.empty() && receiving_.front().transfer->done()) {
      keep_on_leaving(receiving_.front().sample, expect_next, boxes);
      receiving_.pop_front();
    }
  }
  if (has_arrived()) boxes.push_back(take());
  return boxes;
}

void StreamLink::keep_on_leaving(const at::Tensor& sample, const std::function<void()>& expect_next,
                                 std::vector<std::shared_ptr<StreamBox>>& boxes) {
  if (has_arrived()) {
    boxes.push_back(take());
    expect_next();
  }
  if (!expected_) return;
  Expected& now = *expected_;
  if (!now.box) now.box = now.make();
  now.box->keep(now.here++, sample);
}

int64_t StreamLink::begun_before() {
  int64_t theirs = 0;
  Communicator& control = rank_.control();
  const auto telling = control.start_send(std::as_bytes(std::span(&begun_, 1)), rank_.next());
  std::unique_ptr<Transfer> hearing;
  bool told = false, heard = false;
  Wait wait(control,
            fmt::format("the number of samples that rank {} has begun to send", rank_.previous()));
  for (; !told || !heard; wait()) {
    told = told || telling->done();
    if (!hearing) {
      hearing =
          control.start_receive(std::as_writable_bytes(std::span(&theirs, 1)), rank_.previous());
    }
    heard = heard || (hearing && hearing->done());
  }
  return theirs;
}

}  // namespace bitmill

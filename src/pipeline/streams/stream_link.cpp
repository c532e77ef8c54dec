#include "pipeline/streams/stream_link.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/pause.hpp"

namespace bitmill {
namespace {

// Packets on their way at a time, in each direction. Every message waits for an answer before its
// data moves, and answers are given only while a rank pumps: so as many as fit 16 MiB. One that
// moves and one that waits behind it are the least that keep a link busy; more than 16 gain
// nothing.
size_t packets_under_way(size_t packet_bytes) {
  constexpr size_t bytes_under_way = size_t{16} << 20, fewest = 2, most = 16;
  return std::clamp(bytes_under_way / std::max<size_t>(packet_bytes, 1), fewest, most);
}

}  // namespace

// That a box was taken shows only in the one behind it, which begins to move then: so there must be
// room for that one.
StreamLink::StreamLink(MeshRank& rank, std::function<Packet()> room, int capacity)
    : rank_(rank), room_(std::move(room)), capacity_(std::max(capacity, 2)) {
  assert(rank.mesh().stages >= 2);
}

// Again as long as something moves: what is through makes way for the packets behind it, so that a
// fast link carries all samples there are in one call, and no more of them are under way at a time
// than on a slow one.
void StreamLink::pump() {
  for (bool moved = true; moved;) {
    const bool sent = pump_sends();
    const bool received = pump_receives();
    moved = sent || received;
  }
}

// The last box that has wholly gone may lie on the other side, until one behind it moves.
bool StreamLink::has_room() const {
  const bool one_may_wait = gone_ > 0 && gone_ == whole_;
  return std::ssize(ends_) + (one_may_wait ? 1 : 0) < capacity_;
}

void StreamLink::send(std::shared_ptr<StreamBox> box) {
  if (box->count() == 0) return;
  given_ += box->count();
  ends_.push_back(given_);
  outgoing_.push_back({std::move(box)});
  pump_sends();
}

bool StreamLink::is_full(const std::deque<Moving>& under_way) {
  return !under_way.empty() &&
         under_way.size() >= packets_under_way(under_way.front().packet.bytes.size());
}

bool StreamLink::pump_sends() {
  const int64_t before = begun_ + gone_;
  for (; !sending_.empty() && sending_.front().transfer->done(); ++gone_) sending_.pop_front();
  for (; !ends_.empty() && ends_.front() <= gone_; ends_.pop_front()) whole_ = ends_.front();
  while (!outgoing_.empty() && !is_full(sending_)) {
    Outgoing& first = outgoing_.front();
    Packet packet = first.box->read(first.next++);
    auto transfer = rank_.streams().start_send(packet.bytes, rank_.next());
    sending_.push_back({std::move(packet), std::move(transfer)});
    ++begun_;
    if (first.next == first.box->count()) outgoing_.pop_front();
  }
  return begun_ + gone_ > before;
}

bool StreamLink::pump_receives() {
  if (!expected_) return false;
  Expected& now = *expected_;
  const int64_t before = received_ + now.here;
  while (now.here < now.packets) {
    start_receives(now.packets - now.here);
    if (receiving_.empty() || !receiving_.front().transfer->done()) break;
    if (!now.box) now.box = now.make();
    now.box->keep(now.here++, receiving_.front().packet);
    receiving_.pop_front();
  }
  return received_ + now.here > before;
}

void StreamLink::start_receives(int64_t wanted) {
  while (std::ssize(receiving_) < wanted && !is_full(receiving_)) {
    if (!empty_.owner) empty_ = room_();
    auto transfer = rank_.streams().start_receive(empty_.bytes, rank_.previous());
    if (!transfer) return;
    receiving_.push_back({std::exchange(empty_, {}), std::move(transfer)});
    ++received_;
  }
}

void StreamLink::expect(int64_t packets, MakeBox make) {
  assert(!expected_);
  expected_.emplace(Expected{packets, std::move(make)});
}

std::shared_ptr<StreamBox> StreamLink::take() {
  assert(has_arrived());
  std::shared_ptr<StreamBox> box = std::move(expected_->box);
  if (!box) box = expected_->make();  // of no packets
  expected_.reset();
  return box;
}

void StreamLink::leave() {
  outgoing_.clear();  // what has not begun will be made again
  int64_t to_come = 0;
  rank_.control().send(std::as_bytes(std::span(&begun_, 1)), rank_.next());
  rank_.control().receive(std::as_writable_bytes(std::span(&to_come, 1)), rank_.previous());
  for (Pause pause; !receiving_.empty() || received_ < to_come || !sending_.empty(); pause()) {
    pump_sends();
    start_receives(std::ssize(receiving_) + to_come - received_);
    while (!receiving_.empty() && receiving_.front().transfer->done()) receiving_.pop_front();
  }
}

}  // namespace bitmill

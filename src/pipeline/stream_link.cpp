#include "pipeline/stream_link.hpp"

#include <cassert>
#include <utility>

namespace bitmill {
namespace {

// Packets on their way at a time: one that moves and one that waits behind it keep a link busy, and
// no more of a spilled stream must be in memory.
constexpr size_t packets_under_way = 2;

}  // namespace

StreamLink::StreamLink(MeshRank& rank, std::function<std::shared_ptr<StreamBox>()> make_box,
                       int boxes_ahead, int capacity)
    : rank_(rank), make_box_(std::move(make_box)), boxes_ahead_(boxes_ahead), capacity_(capacity) {
  assert(rank.mesh().stages >= 2 && boxes_ahead >= 1 && capacity >= 1);
}

void StreamLink::pump() {
  pump_sends();
  pump_receives();
}

void StreamLink::send(std::shared_ptr<StreamBox> box) {
  if (box->count() > 0) outgoing_.push_back({std::move(box)});
  pump_sends();
}

void StreamLink::pump_sends() {
  while (!sending_.empty() && sending_.front().transfer->done()) sending_.pop_front();
  while (!outgoing_.empty() && sending_.size() < packets_under_way) {
    Outgoing& first = outgoing_.front();
    Packet packet = first.box->read(first.next++);
    auto transfer = rank_.streams().start_send(packet.bytes, rank_.next());
    sending_.push_back({std::move(packet), std::move(transfer)});
    ++sent_;
    if (first.next == first.box->count()) outgoing_.pop_front();
  }
}

void StreamLink::pump_receives() {
  while (arrived() < boxes_ahead_) {
    if (!filling_) {
      filling_ = make_box_();
      filled_ = 0;
    }
    while (filled_ < filling_->count()) {
      if (!receiving_ && !start_receive()) return;
      if (!receiving_->done()) return;
      finish_receive();
    }
    whole_.push_back(std::exchange(filling_, nullptr));
  }
}

bool StreamLink::start_receive() {
  if (!empty_.owner) empty_ = (filling_ ? filling_ : make_box_())->room();
  receiving_ = rank_.streams().start_receive(empty_.bytes, rank_.previous());
  if (!receiving_) return false;
  ++received_;
  return true;
}

void StreamLink::finish_receive() {
  receiving_.reset();
  filling_->keep(filled_++, empty_);
  empty_ = {};
}

std::shared_ptr<StreamBox> StreamLink::take() {
  auto box = std::move(whole_.front());
  whole_.pop_front();
  return box;
}

void StreamLink::leave() {
  outgoing_.clear();  // what has not begun will be made again
  int64_t to_come = 0;
  rank_.control().send(std::as_bytes(std::span(&sent_, 1)), rank_.next());
  rank_.control().receive(std::as_writable_bytes(std::span(&to_come, 1)), rank_.previous());
  while (receiving_ || received_ < to_come || !sending_.empty()) {
    pump_sends();
    if (receiving_ ? receiving_->done() : false) receiving_.reset();
    if (!receiving_ && received_ < to_come) start_receive();
  }
}

}  // namespace bitmill

#include "pipeline/stream_link.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace bitmill {
namespace {

// Packets on their way at a time, in each direction. Every message waits for an answer before its
// data moves, and answers are given only between steps: so as many as fit 16 MiB. One that moves
// and one that waits behind it are the least that keep a link busy; more than 16 gain nothing.
size_t packets_under_way(size_t packet_bytes) {
  constexpr size_t bytes_under_way = size_t{16} << 20, fewest = 2, most = 16;
  return std::clamp(bytes_under_way / std::max<size_t>(packet_bytes, 1), fewest, most);
}

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
  while (!outgoing_.empty()) {
    if (!sending_.empty() &&
        sending_.size() >= packets_under_way(sending_.front().packet.bytes.size())) {
      return;
    }
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
      start_receives(filling_->count() - filled_);
      if (receiving_.empty() || !receiving_.front().transfer->done()) return;
      filling_->keep(filled_++, receiving_.front().packet);
      receiving_.pop_front();
    }
    whole_.push_back(std::exchange(filling_, nullptr));
  }
}

void StreamLink::start_receives(int64_t wanted) {
  while (std::ssize(receiving_) < wanted) {
    if (!empty_.owner) empty_ = (filling_ ? filling_ : make_box_())->room();
    if (receiving_.size() >= packets_under_way(empty_.bytes.size())) return;
    auto transfer = rank_.streams().start_receive(empty_.bytes, rank_.previous());
    if (!transfer) return;
    receiving_.push_back({std::exchange(empty_, {}), std::move(transfer)});
    ++received_;
  }
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
  while (!receiving_.empty() || received_ < to_come || !sending_.empty()) {
    pump_sends();
    start_receives(std::ssize(receiving_) + to_come - received_);
    if (!receiving_.empty() && receiving_.front().transfer->done()) receiving_.pop_front();
  }
}

}  // namespace bitmill

#include "pipeline/ranks/stop_ring.hpp"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <span>
#include <thread>

namespace bitmill {

const std::string& StopRing::heard() {
  poll();
  return reason_;
}

void StopRing::poll() {
  while (!sent_.empty() && sent_.front().transfer->done()) sent_.pop_front();
  while (!heard_last_) {
    if (!receiving_) {
      receiving_ = rank_.control().start_receive(std::as_writable_bytes(std::span(&incoming_, 1)),
                                                 rank_.previous());
    }
    if (!receiving_ || !receiving_->done()) return;
    receiving_.reset();
    take();
  }
}

void StopRing::take() {
  switch (incoming_.kind) {
    case Kind::finished:
      earlier_finished_ = true;
      if (!first()) return pass_finished();
      // It has been around: nobody but us can want to stop any more.
      if (!said_last_) say(Kind::all_finished, "");
      return;
    case Kind::all_finished:
      heard_last_ = all_finished_ = true;
      if (!first()) say(Kind::all_finished, "");
      return;
    case Kind::stop:
      heard_last_ = true;
      if (reason_.empty()) reason_ = incoming_.reason.data();
      if (!said_last_) say(Kind::stop, reason_);
      return;
  }
}

void StopRing::finish() {
  finished_ = true;
  if (first()) {
    say(Kind::finished, "");
  } else {
    pass_finished();
  }
}

void StopRing::pass_finished() {
  if (!finished_ || !earlier_finished_ || passed_ || said_last_) return;
  passed_ = true;
  say(Kind::finished, "");
}

bool StopRing::stop(const std::string& reason) {
  if (!reason_.empty()) return true;  // somebody did already
  if (passed_ || said_last_) return false;
  reason_ = reason;
  say(Kind::stop, reason);
  return true;
}

void StopRing::say(Kind kind, const std::string& reason) {
  Note note{kind, {}};
  std::copy_n(reason.begin(), std::min(reason.size(), note.reason.size() - 1), note.reason.begin());
  sent_.push_back({note, nullptr});
  sent_.back().transfer =
      rank_.control().start_send(std::as_bytes(std::span(&sent_.back().note, 1)), rank_.next());
  if (kind != Kind::finished) said_last_ = true;
}

void StopRing::settle() {
  assert(said_last_);
  for (poll(); !heard_last_ || !sent_.empty(); poll()) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace bitmill

#include "pipeline/ranks/stop_notes.hpp"

#include <cassert>

namespace bitmill {

using Kind = StopNote::Kind;

const std::string& StopRing::heard() {
  poll();
  return reason_;
}

void StopRing::poll() {
  while (!sent_.empty() && sent_.front().gone()) sent_.pop_front();
  while (!heard_last_) {
    if (!expected_) expected_.emplace(rank_.control(), rank_.previous());
    if (!expected_->here()) return;
    const StopNote note = expected_->note();
    expected_.reset();
    take(note);
  }
}

void StopRing::take(const StopNote& note) {
  switch (note.kind) {
    case Kind::finished:
      earlier_finished_ = true;
      if (!first()) return pass_finished();
      // `finished` has gone around the ring: only this stage could still want to stop.
      if (!said_last_) say({Kind::all_finished});
      return;
    case Kind::all_finished:
      heard_last_ = all_finished_ = true;
      if (!first()) say({Kind::all_finished});
      return;
    case Kind::stop:
      heard_last_ = true;
      if (reason_.empty()) reason_ = note.text();
      if (!said_last_) say(note);
      return;
    case Kind::go_on:
      assert(false && "no stage says this");
      return;
  }
}

void StopRing::finish() {
  finished_ = true;
  if (first()) {
    say({Kind::finished});
  } else {
    pass_finished();
  }
}

void StopRing::pass_finished() {
  if (!finished_ || !earlier_finished_ || passed_ || said_last_) return;
  passed_ = true;
  say({Kind::finished});
}

bool StopRing::stop(const std::string& reason) {
  if (!reason_.empty()) return true;  // another stage did already
  if (passed_ || said_last_) return false;
  reason_ = reason;
  say(StopNote::of(reason));
  return true;
}

void StopRing::say(const StopNote& note) {
  sent_.emplace_back(rank_.control(), rank_.next(), note);
  if (note.kind != Kind::finished) said_last_ = true;
}

void StopRing::settle() {
  assert(said_last_);
  poll();
  Wait wait(rank_.control(),
            fmt::format("the last note of stop from rank {}, and rank {} to take ours",
                        rank_.previous(), rank_.next()));
  for (; !heard_last_ || !sent_.empty(); poll()) wait();
}

}  // namespace bitmill

#include "pipeline/ranks/stop_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "comm/wait.hpp"

namespace bitmill {
namespace {

// What the leader of a stage waits for, in words.
constexpr const char* for_a_neighbour = "the stage before or after this one";
constexpr const char* for_the_end = "the other stages to finish";

constexpr const char* reason_time_limit = "the time limit";  // a reason to stop

// Goes through a binary tree over the ranks. Returns, on every rank, the first note that says to
// stop; if none does, a note that says to go on. Two ranks never send to each other at the same
// time, so blocking calls cannot lock up.
StopNote first_stop(Communicator& comm, StopNote note) {
  const int rank = comm.rank(), size = comm.size();
  int reach = 1;
  for (; reach < size && rank % (2 * reach) == 0; reach *= 2) {
    if (rank + reach >= size) continue;
    StopNote theirs;
    comm.receive(theirs.bytes(), rank + reach);
    if (note.kind == StopNote::Kind::go_on) note = theirs;
  }
  if (rank != 0) {
    comm.send(note.bytes(), rank - reach);
    comm.receive(note.bytes(), rank - reach);
  }
  for (reach /= 2; reach >= 1; reach /= 2) {
    if (rank + reach < size) comm.send(note.bytes(), rank + reach);
  }
  return note;
}

}  // namespace

StopControl::StopControl(Communicator& together, StopWishes wishes)
    : together_(together), wishes_(std::move(wishes)) {}

StopControl::StopControl(MeshRank& rank, StopWishes wishes)
    : StopControl(rank.replicas(), std::move(wishes)) {
  if (rank.mesh().stages > 1 && rank.leads()) ring_.emplace(rank);
}

std::string StopControl::own_reason() {
  if (ring_ && !ring_->heard().empty()) return ring_->heard();
  if (std::string asked = wishes_.asked(); !asked.empty()) return asked;
  if (!wishes_.deadline) return "";
  // What must still be possible after this question: one more step, and saving the state. Doubled,
  // because machines are not equally fast all the time.
  const std::chrono::duration<double> needed(2 * (longest_step_s_ + longest_save_s_) + 1);
  return std::chrono::steady_clock::now() + needed < *wishes_.deadline ? "" : reason_time_limit;
}

// Returns true when the decision is to stop, and tells the other stages if they do not know it yet.
bool StopControl::take(const StopNote& decision) {
  reason_ = decision.text();
  if (reason_.empty()) return false;
  if (ring_) ring_->stop(reason_);
  return true;
}

bool StopControl::stop_here() { return take(first_stop(together_, StopNote::of(own_reason()))); }

bool StopControl::wait_or_stop(const std::function<bool()>& ready) {
  return together_.rank() == 0 ? lead_wait(ready, Until::all_are_ready) : follow_wait(ready);
}

bool StopControl::finish_or_stop(const std::function<void()>& meanwhile) {
  if (ring_) ring_->finish();
  const auto never = [&] {
    meanwhile();
    return false;
  };
  const auto all_finished = [&] {
    meanwhile();
    if (!ring_) return true;
    ring_->heard();
    return ring_->all_finished();
  };
  const bool stopped =
      together_.rank() == 0 ? lead_wait(all_finished, Until::leader_is_ready) : follow_wait(never);
  if (!stopped && ring_) ring_->settle();
  return stopped;
}

// Every other rank sends one report: when it is ready or wishes to stop, at the latest when it gets
// the decision. A report and the decision may cross, so each side looks for the other's note before
// it waits for its own to be gone.
bool StopControl::lead_wait(const std::function<bool()>& ready, Until until) {
  std::deque<ExpectedNote> reports;
  for (int rank = 1; rank < together_.size(); ++rank) reports.emplace_back(together_, rank);
  const StopNote decision = decide(ready, until, reports);
  std::deque<SentNote> sent;
  for (int rank = 1; rank < together_.size(); ++rank) sent.emplace_back(together_, rank, decision);
  for (ExpectedNote& report : reports) report.wait();
  for (SentNote& note : sent) note.wait();
  return take(decision);
}

// On the leader: waits until a decision is possible.
StopNote StopControl::decide(const std::function<bool()>& ready, Until until,
                             std::deque<ExpectedNote>& reports) {
  for (Wait wait(together_, until == Until::all_are_ready ? for_a_neighbour : for_the_end);;
       wait()) {
    bool all_ready = ready();
    std::string wish;
    for (ExpectedNote& report : reports) {
      const bool here = report.here();
      if (here && wish.empty()) wish = report.note().text();
      if (!here && until == Until::all_are_ready) all_ready = false;
    }
    // With Until::leader_is_ready (the end of a run) a wish comes too late when the leader is
    // ready.
    if (all_ready && (wish.empty() || until == Until::leader_is_ready)) return {};
    if (wish.empty()) wish = own_reason();
    // The ring refuses a stop when all other stages may have finished. Then this stage finishes,
    // too.
    if (!wish.empty() && (!ring_ || ring_->stop(wish))) return StopNote::of(wish);
  }
}

bool StopControl::follow_wait(const std::function<bool()>& ready) {
  ExpectedNote decision(together_, 0);
  std::optional<SentNote> report;
  Wait wait(together_, fmt::format("the decision of rank {}", together_.job_rank(0)));
  for (; !decision.here(); wait()) {
    const bool is_ready = ready();
    if (report) {
      report->gone();  // moves it on
      continue;
    }
    const std::string wish = own_reason();
    if (is_ready || !wish.empty()) report.emplace(together_, 0, StopNote::of(is_ready ? "" : wish));
  }
  if (!report) report.emplace(together_, 0, StopNote());
  report->wait();
  return take(decision.note());
}

void StopControl::wait_until(const std::function<bool()>& ready) {
  for (Wait wait(together_, for_a_neighbour); !ready();) wait();
}

// Another start goes on only if this one was given the time to save something.
std::string StopControl::advice() const {
  if (reason_ != reason_time_limit) return "Run the same command again to go on";
  if (longest_save_s_ > 0) return wishes_.after_deadline;
  return "No training was saved within it: give a start more time";
}

void StopControl::leave(const std::string& where) {
  if (ring_) ring_->settle();
  throw AgreedStop(fmt::format("{}: stopped {}. {}", reason_, where, advice()));
}

void StopControl::step_took(double seconds) {
  longest_step_s_ = std::max(longest_step_s_, seconds);
}

void StopControl::save_took(double seconds) {
  longest_save_s_ = std::max(longest_save_s_, seconds);
}

}  // namespace bitmill

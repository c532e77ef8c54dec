#include "pipeline/ranks/stop_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/pause.hpp"
#include "pipeline/ranks/stop_note.hpp"

namespace bitmill {
namespace {

// The first note of a binary tree over the ranks that is not empty, on every rank.
Note first_note(Communicator& comm, Note note) {
  const int rank = comm.rank(), size = comm.size();
  int reach = 1;
  for (; reach < size && rank % (2 * reach) == 0; reach *= 2) {
    if (rank + reach >= size) continue;
    Note theirs = {};
    comm.receive(bytes_of(theirs), rank + reach);
    if (note[0] == '\0') note = theirs;
  }
  if (rank != 0) {
    comm.send(bytes_of(note), rank - reach);
    comm.receive(bytes_of(note), rank - reach);
  }
  for (reach /= 2; reach >= 1; reach /= 2) {
    if (rank + reach < size) comm.send(bytes_of(note), rank + reach);
  }
  return note;
}

}  // namespace

StopControl::StopControl(Communicator& replicas, StopWishes wishes, StopRing* ring)
    : replicas_(replicas), wishes_(std::move(wishes)), ring_(ring) {}

std::string StopControl::own_reason() {
  if (ring_ != nullptr && !ring_->heard().empty()) return ring_->heard();
  if (std::string asked = wishes_.asked(); !asked.empty()) return asked;
  if (!wishes_.deadline) return "";
  // The step that is under way when the question is asked once more, and the state; twice, because
  // machines are not even.
  const std::chrono::duration<double> needed(2 * (longest_step_s_ + longest_save_s_) + 1);
  return std::chrono::steady_clock::now() + needed < *wishes_.deadline ? "" : "the time limit";
}

// True when there is a reason.
bool StopControl::leave(const std::string& reason) {
  reason_ = reason;
  if (reason.empty()) return false;
  if (ring_ != nullptr) ring_->stop(reason);
  return true;
}

bool StopControl::stop_here() { return leave(first_note(replicas_, to_note(own_reason())).data()); }

bool StopControl::wait_or_stop(const std::function<bool()>& ready) {
  return replicas_.rank() == 0 ? lead_wait(ready, true) : follow_wait(ready);
}

bool StopControl::finish_or_stop(const std::function<void()>& meanwhile) {
  if (ring_ != nullptr) ring_->finish();
  const auto never = [&] {
    meanwhile();
    return false;
  };
  const auto all_finished = [&] {
    meanwhile();
    if (ring_ == nullptr) return true;
    ring_->heard();
    return ring_->all_finished();
  };
  return replicas_.rank() == 0 ? lead_wait(all_finished, false) : follow_wait(never);
}

// Every other replica reports once, when it is ready (an empty note) or wishes to stop, at the
// latest when it hears what was decided.
bool StopControl::lead_wait(const std::function<bool()>& ready, bool for_replicas) {
  std::vector<ExpectedNote> reports;
  for (int replica = 1; replica < replicas_.size(); ++replica) {
    reports.emplace_back(replicas_, replica);
  }
  std::string reason;
  for (Pause pause;; pause()) {
    bool all_ready = ready();
    for (ExpectedNote& report : reports) {
      const bool here = report.here();
      if (here && reason.empty()) reason = report.text();
      if (for_replicas && !here) all_ready = false;
    }
    // At the end of a run a wish may come too late.
    if (all_ready && !for_replicas) reason.clear();
    if (all_ready && reason.empty()) break;
    if (reason.empty()) reason = own_reason();
    if (!reason.empty() && (ring_ == nullptr || ring_->stop(reason))) break;
    reason.clear();
  }
  for (int replica = 1; replica < replicas_.size(); ++replica) {
    send_note(replicas_, replica, reason);
  }
  for (ExpectedNote& report : reports) {
    for (Pause pause; !report.here();) pause();
  }
  return leave(to_note(reason).data());  // as much of it as the others heard
}

bool StopControl::follow_wait(const std::function<bool()>& ready) {
  ExpectedNote decision(replicas_, 0);
  bool reported = false;
  for (Pause pause; !decision.here(); pause()) {
    const bool is_ready = ready();
    if (reported) continue;
    const std::string reason = own_reason();
    if (!is_ready && reason.empty()) continue;
    send_note(replicas_, 0, is_ready ? "" : reason);
    reported = true;
  }
  if (!reported) send_note(replicas_, 0, "");
  return leave(decision.text());
}

void StopControl::settle() {
  if (ring_ != nullptr) ring_->settle();
}

void StopControl::step_took(double seconds) {
  longest_step_s_ = std::max(longest_step_s_, seconds);
}

void StopControl::save_took(double seconds) {
  longest_save_s_ = std::max(longest_save_s_, seconds);
}

}  // namespace bitmill

#include "pipeline/stop_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace bitmill {
namespace {

// As much of a reason as travels.
using Note = std::array<char, 80>;

Note to_note(const std::string& text) {
  Note note = {};
  std::copy_n(text.begin(), std::min(text.size(), note.size() - 1), note.begin());
  return note;
}

// The first note of a binary tree over the ranks that is not empty, on every rank.
Note first_note(Communicator& comm, Note note) {
  const int rank = comm.rank(), size = comm.size();
  const auto bytes = [](Note& one) { return std::as_writable_bytes(std::span(one)); };
  int reach = 1;
  for (; reach < size && rank % (2 * reach) == 0; reach *= 2) {
    if (rank + reach >= size) continue;
    Note theirs = {};
    comm.receive(bytes(theirs), rank + reach);
    if (note[0] == '\0') note = theirs;
  }
  if (rank != 0) {
    comm.send(bytes(note), rank - reach);
    comm.receive(bytes(note), rank - reach);
  }
  for (reach /= 2; reach >= 1; reach /= 2) {
    if (rank + reach < size) comm.send(bytes(note), rank + reach);
  }
  return note;
}

}  // namespace

StopControl::StopControl(Communicator& comm, StopWishes wishes)
    : comm_(comm), wishes_(std::move(wishes)) {}

std::string StopControl::own_reason() const {
  if (std::string asked = wishes_.asked(); !asked.empty()) return asked;
  if (!wishes_.deadline) return "";
  // The step that is under way when the question is asked once more, and the state; twice, because
  // machines are not even.
  const std::chrono::duration<double> needed(2 * (longest_step_s_ + longest_save_s_) + 1);
  return std::chrono::steady_clock::now() + needed < *wishes_.deadline ? "" : "the time limit";
}

bool StopControl::stop_here() {
  const Note note = first_note(comm_, to_note(own_reason()));
  reason_ = note.data();
  return !reason_.empty();
}

void StopControl::step_took(double seconds) {
  longest_step_s_ = std::max(longest_step_s_, seconds);
}

void StopControl::save_took(double seconds) {
  longest_save_s_ = std::max(longest_save_s_, seconds);
}

}  // namespace bitmill

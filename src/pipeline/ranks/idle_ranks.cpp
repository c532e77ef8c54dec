#include "pipeline/ranks/idle_ranks.hpp"

#include <algorithm>

#include "base/pause.hpp"

namespace bitmill {

IdleRanks::IdleRanks(Communicator& comm, int first) : comm_(comm), first_(first) {
  for (int rank = first; rank < comm.size(); ++rank) notes_.emplace_back(comm, rank);
}

std::string IdleRanks::wish() {
  constexpr size_t at_a_time = 16;  // of thousands, between two steps
  for (size_t i = 0; i < std::min(at_a_time, notes_.size()) && wish_.empty(); ++i) {
    ExpectedNote& note = notes_[next_];
    next_ = (next_ + 1) % notes_.size();
    if (note.here()) wish_ = note.text();
  }
  return wish_;
}

void IdleRanks::end(const std::string& why) {
  for (int rank = first_; rank < comm_.size(); ++rank) send_note(comm_, rank, why);
  for (ExpectedNote& last : notes_) {
    for (Pause pause; !last.here();) pause();
  }
}

std::string wait_for_mesh(Communicator& comm, const std::function<std::string()>& asked) {
  ExpectedNote end(comm, 0);
  bool said = false;
  for (Pause pause; !end.here(); pause()) {
    if (said) continue;
    const std::string why = asked();
    if (why.empty()) continue;
    send_note(comm, 0, why);
    said = true;
  }
  if (!said) send_note(comm, 0, "");  // rank 0 expects one of each
  return end.text();
}

}  // namespace bitmill

#include "pipeline/idle_ranks.hpp"

#include <algorithm>

#include "pipeline/pause.hpp"

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
  Note note = to_note(why);
  for (int rank = first_; rank < comm_.size(); ++rank) comm_.send(bytes_of(note), rank);
  for (ExpectedNote& last : notes_) {
    for (Pause pause; !last.here();) pause();
  }
}

std::string wait_for_mesh(Communicator& comm, const std::function<std::string()>& asked) {
  ExpectedNote end(comm, 0);
  bool said = false;
  const auto say = [&](const std::string& why) {
    Note note = to_note(why);
    comm.send(bytes_of(note), 0);
    said = true;
  };
  for (Pause pause; !end.here(); pause()) {
    if (said) continue;
    if (const std::string why = asked(); !why.empty()) say(why);
  }
  if (!said) say("");
  return end.text();
}

}  // namespace bitmill

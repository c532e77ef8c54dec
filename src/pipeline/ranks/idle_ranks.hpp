#pragma once
// Ranks beyond the mesh: they have no work, wait for its end, and may be asked to stop all the
// same.

#include <deque>
#include <functional>
#include <string>

#include "pipeline/ranks/stop_note.hpp"

namespace bitmill {

// On rank 0. Nobody else says anything to these ranks between construction and end().
class IdleRanks {
 public:
  // Those from `first` on; there may be none. `comm` outlives it.
  IdleRanks(Communicator& comm, int first);

  // Why one of them was asked to stop; empty while none was. Looks at some of them at a time.
  std::string wish();
  // Tells them that the mesh is through, and why it stopped; empty: it did not.
  void end(const std::string& why);

 private:
  Communicator& comm_;
  const int first_;
  std::deque<ExpectedNote> notes_;
  size_t next_ = 0;
  std::string wish_;
};

// On an idle rank: its counterpart. Passes on what `asked` says once, and returns what end() told.
std::string wait_for_mesh(Communicator& comm, const std::function<std::string()>& asked);

}  // namespace bitmill

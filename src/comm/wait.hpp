#pragma once
// How a rank waits for others outside of the calls of a Communicator that wait by themselves.

#include <string>
#include <utility>

#include "base/pause.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

// The wait of a rank that looks again and again whether others have sent or taken something:
//
//   for (Wait wait(comm, "an answer from rank 2"); !answer.here();) wait();
//
// Each call of the object pauses, and says what the rank waits for (Communicator::waits_for). So a
// rank that waits is not taken for one that hangs.
class Wait {
 public:
  // `comm` outlives it. `what` follows the words "waiting for".
  Wait(Communicator& comm, std::string what) : comm_(comm), what_(std::move(what)) {}
  ~Wait() { comm_.waits_for(""); }
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  void operator()() {
    comm_.waits_for(what_);
    pause_();
  }

 private:
  Communicator& comm_;
  const std::string what_;
  Pause pause_;
};

}  // namespace bitmill

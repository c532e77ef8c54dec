#pragma once
// What the caller of a job knows about this start.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/claim.hpp"

namespace bitmill {

struct StopWishes {
  // Why this rank was asked to stop; empty while it was not. Any thread may call it.
  std::function<std::string()> asked = [] { return std::string(); };
  std::optional<std::chrono::steady_clock::time_point> deadline;  // to have ended by
  // What a stop before the deadline advises.
  std::string after_deadline = "Run the same command again to go on";
};

// What the caller knows about this start.
struct RunControl {
  StopWishes wishes;
  std::string host = "this host";  // a name for people
  std::string job;                 // id in the batch system; may be empty
  ClaimTiming claim_timing;
  // Called on rank 0 when the run folder can tell how this run stands: it is claimed, and the run
  // was begun or goes on, or it holds the finished run.
  std::function<void()> work_dir_answers = [] {};
  // Seconds that a connection or an exchange between GPUs may take (NcclPatience).
  double transfer_patience_s = 150;
  bool heartbeat = true;  // off for tests that count file operations
};

}  // namespace bitmill

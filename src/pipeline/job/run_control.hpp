#pragma once
// What the caller of a job knows of this start.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/claim.hpp"

namespace bitmill {

struct StopWishes {
  // Why this rank was asked to stop; empty while it was not. Any thread may call it.
  std::function<std::string()> asked = [] { return std::string(); };
  std::optional<std::chrono::steady_clock::time_point> deadline;  // to be gone by
};

// What the caller knows of this start.
struct RunControl {
  StopWishes wishes;
  std::string host = "this host";  // as people know it
  std::string job;                 // of the batch system; may be empty
  ClaimTiming claim_timing;
  // On rank 0, once the work folder can be asked about this run: claimed, or of a finished run.
  std::function<void()> work_dir_answers = [] {};
  bool heartbeat = true;  // off for tests that count file operations
};

}  // namespace bitmill

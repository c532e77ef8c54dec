#pragma once
// When a run ends before its end: a signal to any rank, or a deadline. The ranks agree at safe
// points, so that all of them leave at the same one.

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

// Thrown on every rank at the same safe point: nobody waits for anybody.
class AgreedStop : public StopError {
  using StopError::StopError;
};

struct StopWishes {
  // Why this rank was asked to stop; empty while it was not. Any thread may call it.
  std::function<std::string()> asked = [] { return std::string(); };
  std::optional<std::chrono::steady_clock::time_point> deadline;  // to be gone by
};

class StopControl {
 public:
  StopControl(Communicator& comm, StopWishes wishes);

  // Collective: whether the ranks leave here. Cheap: two messages a rank.
  bool stop_here();
  // Why; the same on every rank once stop_here() said yes.
  const std::string& reason() const { return reason_; }

  // What a stop costs, so that a deadline is met: the longest of each is kept.
  void step_took(double seconds);
  void save_took(double seconds);
  double longest_step_s() const { return longest_step_s_; }
  double longest_save_s() const { return longest_save_s_; }

 private:
  std::string own_reason() const;

  Communicator& comm_;
  const StopWishes wishes_;
  std::string reason_;
  double longest_step_s_ = 0;
  double longest_save_s_ = 0;
};

}  // namespace bitmill

#pragma once
// Stops a run before its end: after a signal to any rank, or before a deadline. Ranks that work
// together leave at the same safe point, on which they agree. The stages of a mesh tell each other
// that they stop.

#include <deque>
#include <functional>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/ranks/mesh_rank.hpp"
#include "pipeline/ranks/stop_notes.hpp"

namespace bitmill {

// The ranks agreed to leave. Thrown on every rank of a stage at the same safe point; each stage
// leaves at a safe point of its own. No rank waits for a rank that has left.
class AgreedStop : public StopError {
  using StopError::StopError;
};

// Three calls ask whether to leave: stop_here(), wait_or_stop() and finish_or_stop(). After one of
// them has returned true, the ranks save their state and call leave(), and ask nothing more.
class StopControl {
 public:
  // All ranks of `together` leave at the same safe point. `together` outlives this object.
  StopControl(Communicator& together, StopWishes wishes);
  // The replicas of a stage leave at the same safe point; each stage leaves at one of its own.
  // `rank` outlives this object.
  StopControl(MeshRank& rank, StopWishes wishes);

  // Each of these calls is collective over the ranks that leave together, and returns the same
  // value on all of them.

  // Whether the ranks leave here. Cheap: two messages per rank.
  bool stop_here();
  // Waits until ready() is true on every one of these ranks, and returns false; or returns true
  // when they leave instead. ready() is called again and again, even after it was true.
  bool wait_or_stop(const std::function<bool()>& ready);
  // The last call, when this stage's work is done. Waits until every stage has finished, and
  // returns false: then the ranks send no more notes. Or returns true when they leave instead.
  // `meanwhile` is called again and again during the wait.
  bool finish_or_stop(const std::function<void()>& meanwhile);
  // Waits until ready(), which depends on other stages, and asks nobody whether to leave. For the
  // time after finish_or_stop() has returned false.
  void wait_until(const std::function<bool()>& ready);
  // To be called after a question was answered with true. Waits until the other stages know about
  // the stop; each of them gets there at a safe point of its own. Then throws AgreedStop. Its
  // message has the reason, `where`, such as "between two actions", and what to do. That is to run
  // the command again, unless the time limit left no time to save anything.
  [[noreturn]] void leave(const std::string& where);

  // How long a step and a save took. The longest of each is kept, so that a deadline can be met.
  void step_took(double seconds);
  void save_took(double seconds);

 private:
  enum class Until { all_are_ready, leader_is_ready };

  std::string own_reason();
  std::string advice() const;
  bool take(const StopNote& decision);
  bool lead_wait(const std::function<bool()>& ready, Until until);
  StopNote decide(const std::function<bool()>& ready, Until until,
                  std::deque<ExpectedNote>& reports);
  bool follow_wait(const std::function<bool()>& ready);

  Communicator& together_;
  const StopWishes wishes_;
  std::optional<StopRing> ring_;  // on the leader of each stage, if there are several stages
  std::string reason_;            // set when a question was answered with true
  double longest_step_s_ = 0;
  double longest_save_s_ = 0;
};

}  // namespace bitmill

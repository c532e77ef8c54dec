#pragma once
// When a run ends before its end: a signal to any rank, or a deadline. Ranks that work together
// agree at safe points, so that all of them leave at the same one; the stages of a mesh tell each
// other.

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

// Thrown on every rank of a stage at the same safe point, and on every stage at one of its own:
// no rank waits for one that has left.
class AgreedStop : public StopError {
  using StopError::StopError;
};

// Three questions ask whether to leave: stop_here(), wait_or_stop(), finish_or_stop(). Once one of
// them said yes, the ranks save what they must, call leave(), and ask nothing more.
class StopControl {
 public:
  // All ranks of `together` leave at the same safe point. It outlives this.
  StopControl(Communicator& together, StopWishes wishes);
  // The replicas of a stage leave at the same safe point, each stage at one of its own. `rank`
  // outlives this.
  StopControl(MeshRank& rank, StopWishes wishes);

  // Each of these is collective over the ranks that leave together, and says the same on all of
  // them.

  // Whether they leave here. Cheap: two messages a rank.
  bool stop_here();
  // Waits until ready() on every one of them; true when they leave instead. ready() is asked again
  // and again, also after it said yes.
  bool wait_or_stop(const std::function<bool()>& ready);
  // Last of all, when the work is done: waits until every stage has done its own; true when they
  // leave instead. `meanwhile` is called again and again. Said no: nothing more is to be said.
  bool finish_or_stop(const std::function<void()>& meanwhile);
  // After a yes. Waits until the other stages know of it, each at a safe point of its own, and
  // throws AgreedStop, which says why and `where`: "between two actions".
  [[noreturn]] void leave(const std::string& where);

  // What a stop costs, so that a deadline is met: the longest of each is kept.
  void step_took(double seconds);
  void save_took(double seconds);

 private:
  enum class Until { all_are_ready, leader_is_ready };

  std::string own_reason();
  bool take(const StopNote& decision);
  bool lead_wait(const std::function<bool()>& ready, Until until);
  StopNote decide(const std::function<bool()>& ready, Until until,
                  std::deque<ExpectedNote>& reports);
  bool follow_wait(const std::function<bool()>& ready);

  Communicator& together_;
  const StopWishes wishes_;
  std::optional<StopRing> ring_;  // where there are several stages, on the leader of each
  std::string reason_;            // once one of the questions was answered with yes
  double longest_step_s_ = 0;
  double longest_save_s_ = 0;
};

}  // namespace bitmill

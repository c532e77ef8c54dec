#pragma once
// When a run ends before its end: a signal to any rank, or a deadline. The replicas of a stage
// agree at safe points, so that all of them leave at the same one; the stages tell each other.

#include <functional>
#include <string>

#include "base/error.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/ranks/stop_ring.hpp"

namespace bitmill {

// Thrown on every rank of a stage at the same safe point, and on every stage at one of its own:
// nobody waits for anybody.
class AgreedStop : public StopError {
  using StopError::StopError;
};

class StopControl {
 public:
  // `ring` where there are several stages, on the leader of each (rank 0 of `replicas`); else null.
  StopControl(Communicator& replicas, StopWishes wishes, StopRing* ring = nullptr);

  // Collective over the replicas: whether they leave here. Cheap: two messages a rank.
  bool stop_here();
  // Collective. Waits until ready() on every replica; true when they leave here instead.
  // ready() is asked again and again, also after it said yes.
  bool wait_or_stop(const std::function<bool()>& ready);
  // Collective, once the plan is carried out. Waits until every stage has done so; true when they
  // leave instead. `meanwhile` is called again and again.
  bool finish_or_stop(const std::function<void()>& meanwhile);
  // To be called when one of the above said yes, or the last one no: see StopRing::settle().
  void settle();

  // Why; the same on every replica once one of the above said yes.
  const std::string& reason() const { return reason_; }

  // What a stop costs, so that a deadline is met: the longest of each is kept.
  void step_took(double seconds);
  void save_took(double seconds);

 private:
  std::string own_reason();
  bool leave(const std::string& reason);
  bool lead_wait(const std::function<bool()>& ready, bool for_replicas);
  bool follow_wait(const std::function<bool()>& ready);

  Communicator& replicas_;
  const StopWishes wishes_;
  StopRing* const ring_;
  std::string reason_;
  double longest_step_s_ = 0;
  double longest_save_s_ = 0;
};

}  // namespace bitmill

#pragma once
// Records when a rank did which action, for a picture of the run.

#include <string>
#include <vector>

#include "cli/report/progress.hpp"
#include "cli/report/timeline.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {

class ActionClock : public ForwardingObserver {
 public:
  // Collective: the ranks' clocks begin together. `comm` and `next` outlive this one.
  ActionClock(Communicator& comm, Clock clock, QuantizeObserver& next);

  void resumed(const std::vector<BlockDone>& done) override;
  void action_begins(const Action& action) override;
  void action_done(const Action& action) override;

  // Collective. The actions of all ranks in this start. Time 0 is the beginning of the first
  // action; an action that is not done yet ends now. Rank 0 says whether an earlier start did a
  // part of the work.
  Timeline timeline(const std::string& title) const;

 private:
  Communicator& comm_;
  const Clock clock_;
  const double origin_s_;
  std::vector<TimedAction> actions_;
  bool under_way_ = false;  // the last action has begun and is not done
  bool resumed_ = false;
};

}  // namespace bitmill

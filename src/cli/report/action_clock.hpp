#pragma once
// When a rank did what: the events of a run, for a picture of it.

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

  // Collective. What all ranks did in this start; time begins with the first of it, and what is
  // under way ends now. Rank 0 knows whether an earlier start had done some of it.
  Timeline timeline(const std::string& title) const;

 private:
  Communicator& comm_;
  const Clock clock_;
  const double origin_s_;
  std::vector<TimedAction> actions_;
  bool under_way_ = false;  // the last of them
  bool resumed_ = false;
};

}  // namespace bitmill

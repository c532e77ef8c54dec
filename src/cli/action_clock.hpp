#pragma once
// When a rank did what: the events of a run, for a picture of it.

#include <string>
#include <vector>

#include "cli/forwarding_observer.hpp"
#include "cli/progress.hpp"
#include "cli/timeline.hpp"
#include "comm/communicator.hpp"

namespace bitmill {

class ActionClock : public ForwardingObserver {
 public:
  // Collective: the ranks' clocks begin together. `next` outlives this one.
  ActionClock(Communicator& comm, Clock clock, QuantizeObserver& next);

  void action_begins(const Action& action) override;
  void action_done(const Action& action) override;

  // Collective. What all ranks did; time begins with the first of it. Rows are the same on every
  // rank.
  Timeline timeline(const std::string& title) const;

 private:
  Communicator& comm_;
  const Clock clock_;
  const double origin_s_;
  std::vector<TimedAction> actions_;  // the last may be under way
};

}  // namespace bitmill

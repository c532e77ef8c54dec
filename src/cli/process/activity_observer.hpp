#pragma once
// Keeps the activity text of a rank up to date with what the job does. Every rank has such an
// observer, also those whose console is silent.

#include "comm/watch/activity.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {

class ActivityObserver : public ForwardingObserver {
 public:
  // Both outlive this one.
  ActivityObserver(Activity& activity, QuantizeObserver& next)
      : ForwardingObserver(next), activity_(activity) {}

  void action_begins(const Action& action) override;
  void step_done(const Position& at) override;
  void epoch_done(const Position& at, double loss) override;
  void phase_begins(const std::string& phase) override;

 private:
  Activity& activity_;
};

}  // namespace bitmill

#pragma once
// Keeps the activity text of a rank up to date with what an observed run does, and passes
// everything on. Every rank has one, also those whose console is silent.

#include "comm/activity.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

class ActivityObserver : public QuantizeObserver {
 public:
  // Both outlive this one.
  ActivityObserver(Activity& activity, QuantizeObserver& next) : activity_(activity), next_(next) {}

  void resumed(const std::vector<BlockDone>& done) override { next_.resumed(done); }
  void action_begins(const Action& action) override;
  void step_done(const Position& at) override;
  void epoch_done(const Position& at, double loss) override;
  void action_done(const Action& action) override;
  void block_packed(const BlockReport& report) override;
  void stage_begins(const std::string& stage) override;

 private:
  Activity& activity_;
  QuantizeObserver& next_;
};

}  // namespace bitmill

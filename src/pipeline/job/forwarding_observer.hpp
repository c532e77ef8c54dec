#pragma once
// One link of a chain of observers: passes on everything that a derived class does not take.

#include "pipeline/job/observer.hpp"

namespace bitmill {

class ForwardingObserver : public QuantizeObserver {
 public:
  // `next` outlives this one.
  explicit ForwardingObserver(QuantizeObserver& next) : next_(next) {}

  void resumed(const std::vector<BlockDone>& done) override { next_.resumed(done); }
  void action_begins(const Action& action) override { next_.action_begins(action); }
  void step_done(const Position& at) override { next_.step_done(at); }
  void epoch_done(const Position& at, double loss) override { next_.epoch_done(at, loss); }
  void action_done(const Action& action) override { next_.action_done(action); }
  void block_packed(const BlockReport& report) override { next_.block_packed(report); }
  void phase_begins(const std::string& stage) override { next_.phase_begins(stage); }

 private:
  QuantizeObserver& next_;
};

}  // namespace bitmill

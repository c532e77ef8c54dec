#pragma once
// blocks.jsonl in the work folder: one line per finished epoch and per finished block.

#include <chrono>
#include <set>

#include "checkpoint/run_dir.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {

// On the rank that has a run folder, writes down what it hears.
class RunLog final : public ForwardingObserver {
 public:
  RunLog(RunDir* run_dir, QuantizeObserver& next);

  void action_begins(const Action& action) override;
  void epoch_done(const Position& at, double loss) override;
  void block_packed(const BlockReport& report) override;

 private:
  double seconds_since_last();

  RunDir* run_dir_;       // may be null
  std::set<int> logged_;  // blocks that have their line already
  std::chrono::steady_clock::time_point last_;
};

}  // namespace bitmill

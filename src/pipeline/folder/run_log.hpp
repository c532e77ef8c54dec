#pragma once
// Writes blocks.jsonl in the run folder: one line for each finished epoch and each finished block.

#include <chrono>
#include <set>

#include "checkpoint/run_dir.hpp"
#include "pipeline/job/observer.hpp"

namespace bitmill {

// Writes down what it hears, on a rank that has a run folder.
class RunLog final : public ForwardingObserver {
 public:
  RunLog(RunDir* run_dir, QuantizeObserver& next);

  void action_begins(const Action& action) override;
  void epoch_done(const Position& at, double loss) override;
  void block_packed(const BlockReport& report) override;

 private:
  double seconds_since_last();

  RunDir* run_dir_;       // may be null
  std::set<int> logged_;  // blocks that already have their line
  std::chrono::steady_clock::time_point last_;
};

}  // namespace bitmill

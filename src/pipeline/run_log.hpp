#pragma once
// blocks.jsonl in the work folder: one line per finished epoch and per finished block.

#include <chrono>
#include <set>

#include "checkpoint/run_dir.hpp"
#include "pipeline/quantize.hpp"

namespace bitmill {

// Passes everything on to `next`, and on the rank that has a run folder writes it down.
class RunLog final : public QuantizeObserver {
 public:
  RunLog(RunDir* run_dir, QuantizeObserver& next);

  void resumed(const std::vector<BlockDone>& done) override { next_.resumed(done); }
  void action_begins(const Action& action) override;
  void step_done(const Position& at) override { next_.step_done(at); }
  void epoch_done(const Position& at, double loss) override;
  void action_done(const Action& action) override { next_.action_done(action); }
  void block_packed(const BlockReport& report) override;
  void stage_begins(const std::string& stage) override { next_.stage_begins(stage); }

 private:
  double seconds_since_last();

  RunDir* run_dir_;       // may be null
  std::set<int> logged_;  // blocks that have their line already
  QuantizeObserver& next_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace bitmill

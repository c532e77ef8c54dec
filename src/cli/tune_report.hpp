#pragma once
// What `tune` says during and after the work.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/console.hpp"
#include "cli/progress.hpp"
#include "cli/quantize_report.hpp"
#include "comm/activity.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

// On a terminal a line that updates with every step; a line of its own for every epoch.
class TuneProgress final : public TuneObserver {
 public:
  // All outlive it.
  TuneProgress(Console& console, Activity& activity, const TunePlan& plan, int epochs, Clock clock);

  void stage_begins(const std::string& stage) override;
  void step_done(int epoch, int64_t step) override;
  void epoch_done(const TuningHistory& history, double seconds) override;

 private:
  Console& console_;
  Activity& activity_;
  const TunePlan& plan_;
  const int epochs_;
  const Clock clock_;
  double last_update_ = 0;
};

// For --dry-run.
std::string describe_tune_plan(const TuneOptions& options, const TunePlan& plan);
nlohmann::ordered_json tune_plan_json(const TuneOptions& options, const TunePlan& plan, int ranks,
                                      int threads);

std::string describe_tuning(const TuneOptions& options, const TuneResult& result,
                            const RunFacts& facts);
nlohmann::ordered_json tuning_json(const TuneOptions& options, const TuneResult& result,
                                   const RunFacts& facts);

}  // namespace bitmill

#pragma once
// What `preprocess` prints during and after the work.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/report/console.hpp"
#include "cli/report/progress.hpp"
#include "cli/report/quantize_report.hpp"
#include "comm/watch/activity.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/preprocess.hpp"

namespace bitmill {

// On a terminal: a line that is rewritten at every step, and a line of its own for every
// measurement. In a log: a line for every measurement, and one every half minute between them.
class PreprocessProgress final : public PreprocessObserver {
 public:
  // All must outlive it.
  PreprocessProgress(Console& console, Activity& activity, const PreprocessForecast& forecast,
                     Clock clock);

  void phase_begins(const std::string& phase) override;
  void note(const std::string& sentence) override;
  void training_begins(int64_t steps) override;
  void step_done(const Step& step) override;
  void measured(const PreprocessHistory& history, int64_t steps) override;

 private:
  // "812 tokens/s · ETA 3 min 10 s", at the pace of this start.
  std::string pace(int64_t steps_done, double now) const;

  Console& console_;
  Activity& activity_;
  const PreprocessForecast& forecast_;
  const Clock clock_;
  ProgressLine shown_;
  double begin_ = 0;     // when training began in this start
  int64_t first_ = 0;    // steps that were done then
  int64_t tokens_ = 0;   // trained on since then
  double held_out_ = 0;  // as last measured
};

// A note for people before the work; empty when there is nothing to say.
std::string idle_ranks_note(const PreprocessOptions& options, const PreprocessForecast& forecast);

// For --dry-run.
std::string describe_forecast(const PreprocessOptions& options, const PreprocessForecast& forecast);
nlohmann::ordered_json forecast_json(const PreprocessOptions& options,
                                     const PreprocessForecast& forecast, int ranks, int threads);

std::string describe_preprocess(const PreprocessOptions& options,
                                const PreprocessForecast& forecast, const PreprocessResult& result,
                                const RunFacts& facts);
nlohmann::ordered_json preprocess_json(const PreprocessOptions& options,
                                       const PreprocessForecast& forecast,
                                       const PreprocessResult& result, const RunFacts& facts);

}  // namespace bitmill

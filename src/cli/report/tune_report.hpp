#pragma once
// What `tune` prints during and after the work.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "cli/report/console.hpp"
#include "cli/report/progress.hpp"
#include "cli/report/quantize_report.hpp"
#include "comm/watch/activity.hpp"
#include "pipeline/job/tune_job.hpp"
#include "pipeline/job/tuning_history.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

// On a terminal: a line that is rewritten at every step, and a line of its own for every epoch. In
// a log: a line for every epoch, and one every half minute between them.
class TuneProgress final : public TuneObserver {
 public:
  // All must outlive it.
  TuneProgress(Console& console, Activity& activity, const TuneForecast& forecast, Clock clock);

  void phase_begins(const std::string& phase) override;
  void note(const std::string& sentence) override;
  void teacher_done(int64_t blocks_done, int64_t blocks) override;
  void training_begins() override;
  void step_done(int epoch, int64_t step) override;
  void epoch_done(const TuningHistory& history, double seconds) override;

 private:
  std::string eta(int64_t steps_done, double now) const;

  Console& console_;
  Activity& activity_;
  const TuneForecast& forecast_;
  const Clock clock_;
  std::optional<BlockProgress> teacher_;
  ProgressLine shown_;
  double begin_ = 0;            // when training began in this start
  int64_t steps_of_start_ = 0;  // steps done since then
};

// "1.2 M factors", or "1.2 M factors and 30 M signs"; "3 epochs", or "3 epochs, a portion of
// the corpus each"; "0.002", or "0.002 and 0.003 for signs".
std::string what_is_trained(const TuneForecast& forecast);
std::string of_epochs(const TuneOptions& options, const TuneForecast& forecast);
std::string rate_words(const TuneOptions& options);

// Notes for people before the work; empty when there is nothing to say.
std::string idle_ranks_note(const TuneOptions& options, const TuneForecast& forecast);
std::string few_held_out_note(const TuneForecast& forecast);

// For --dry-run.
std::string describe_forecast(const TuneOptions& options, const TuneForecast& forecast);
nlohmann::ordered_json forecast_json(const TuneOptions& options, const TuneForecast& forecast,
                                     int ranks, int threads);

std::string describe_tuning(const TuneOptions& options, const TuneResult& result,
                            const RunFacts& facts);
nlohmann::ordered_json tuning_json(const TuneOptions& options, const TuneResult& result,
                                   const RunFacts& facts);

}  // namespace bitmill

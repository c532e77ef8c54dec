#pragma once
// The job of `bitmill tune`, without parsing of options and printing of JSON. `bitmill run` uses it
// too.

#include <optional>

#include "cli/commands/command.hpp"
#include "cli/options/tune_options.hpp"
#include "cli/report/quantize_report.hpp"
#include "device/device.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {

class TuneJob {
 public:
  explicit TuneJob(TuneRequest request) : request_(std::move(request)) {}

  const TuneRequest& request() const { return request_; }

  // All calls below use the results of this check.
  void check(const CheckContext& context);

  const TuneOptions& options() const { return checked_->options; }
  const TuneForecast& forecast() const { return checked_->forecast; }
  // Collective. For --dry-run: says what would be done, and checks what one rank alone cannot see.
  void compare_ranks(RunContext& context);
  // For --dry-run: the forecast, as a table or as JSON.
  std::string dry_run_text() const;

  struct Outcome {
    TuneResult result;
    RunFacts facts;
  };
  // Collective. Shows progress and the summary.
  Outcome run(RunContext& context);

 private:
  void introduce(Console& console, const Device& device) const;

  const TuneRequest request_;
  std::optional<CheckedTune> checked_;  // from check() on
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace bitmill

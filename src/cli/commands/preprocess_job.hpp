#pragma once
// The job of `bitmill preprocess`, without parsing of options and printing of JSON. `bitmill run`
// uses it too.

#include <optional>
#include <string>

#include "cli/commands/command.hpp"
#include "cli/commands/quantize_job.hpp"
#include "cli/options/preprocess_options.hpp"
#include "cli/report/quantize_report.hpp"
#include "device/device.hpp"
#include "pipeline/checks/preprocess_check.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/preprocess.hpp"

namespace bitmill {

class PreprocessJob {
 public:
  explicit PreprocessJob(PreprocessRequest request);

  const PreprocessRequest& request() const { return request_; }

  // All calls below use the results of this check. Where the base is to be made first, what needs
  // it is checked by run(), once it is there.
  void check(const CheckContext& context);

  const PreprocessOptions& options() const { return request_.options; }
  const PreprocessForecast& forecast() const { return checked_ ? checked_->forecast : forecast_; }
  // Collective. For --dry-run: says what would be done, of the base too, and checks what one rank
  // alone cannot see. Of planned ranks it only says which would idle.
  void compare_ranks(RunContext& context);
  // For --dry-run: the forecast of the training, as a table or as JSON.
  std::string dry_run_text() const;

  struct Outcome {
    PreprocessResult result;
    RunFacts facts;
  };
  // Collective. Makes the base where there is none. Shows progress and the summary.
  Outcome run(RunContext& context);

 private:
  // `spent`: seconds of the time limit that the base took.
  RunControl make_control(RunContext& context, double spent) const;
  void say_overlap(Console& console) const;
  // On rank 0: the page that was asked for, of what the work folder's log has so far.
  void draw(RunContext& context) const;
  void introduce(Console& console, const Device& device) const;

  const PreprocessRequest request_;
  std::optional<QuantizeJob> base_;           // where the base is to be made
  std::optional<CheckedPreprocess> checked_;  // from when there is a base
  PreprocessForecast forecast_;               // before that, or of planned ranks
  std::string overlap_;  // of the base's calibration with the evaluation; empty: none
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace bitmill

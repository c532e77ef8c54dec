#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/commands/tune_job.hpp"
#include "cli/report/console.hpp"
#include "cli/report/tune_report.hpp"

namespace bitmill {
namespace {

class TuneCommand : public Command {
 public:
  explicit TuneCommand(TuneRequest request) : job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    if (job_.request().dry_run) {
      job_.compare_ranks(context);
      context.console.print(job_.dry_run_text());
      return;
    }
    const TuneJob::Outcome outcome = job_.run(context);
    if (job_.request().json) {
      context.console.print(json_line(tuning_json(job_.options(), outcome.result, outcome.facts)));
    }
  }

 private:
  TuneJob job_;
};

}  // namespace

CommandEntry tune_entry() {
  return {.name = "tune",
          .summary = "tune the scales and signs of a packed model towards its original",
          .about =
              "Trains the scales of a packed model, all blocks together, towards the next-token "
              "distribution of the 16-bit model it was made from; with --learn-signs every sign, "
              "too. Codes and the stored form stay; the result is never worse on the windows that "
              "are held out.",
          .usage = {"tune --model PACKED --reference DIR --output-dir DIR --calib FILE [options]"},
          .example =
              "bitmill tune --model /tmp/books-packed --reference tests/data/books-2M "
              "--output-dir /tmp/books-tuned --calib tests/data/books/calib.txt --samples 32",
          .positional = "",
          .options = tune_option_groups(),
          .stops_on_signals = true,
          .watched = true,
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<TuneCommand>(read_tune_request(files, settings));
          }};
}

}  // namespace bitmill

#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/commands/preprocess_job.hpp"
#include "cli/report/console.hpp"
#include "cli/report/preprocess_report.hpp"

namespace bitmill {
namespace {

class PreprocessCommand : public Command {
 public:
  explicit PreprocessCommand(PreprocessRequest request) : job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    if (job_.request().dry_run) {
      job_.compare_ranks(context);
      context.console.print(job_.dry_run_text());
      return;
    }
    const PreprocessJob::Outcome outcome = job_.run(context);
    if (job_.request().json) {
      context.console.print(json_line(
          preprocess_json(job_.options(), job_.forecast(), outcome.result, outcome.facts)));
    }
  }

 private:
  PreprocessJob job_;
};

}  // namespace

CommandEntry preprocess_entry() {
  return {.name = "preprocess",
          .summary = "move a model's weights to where packing hurts less, for quantize",
          .about =
              "PTQ1.61's restorative LoRA: packs the model, trains low-rank adapters on the packed "
              "weights with a text of any size, and writes both added up as an ordinary 16-bit "
              "model, which is then packed in the place of the original. A long stage: it can be "
              "stopped at any time, and goes on on any number of ranks.",
          .usage = {"preprocess --model DIR --output-dir DIR --corpus FILES --calib FILE [options]",
                    "preprocess --model DIR --packed DIR --output-dir DIR --corpus FILES [options]",
                    "preprocess --model DIR --dry-run --ranks N [options]"},
          .example =
              "bitmill preprocess --model tests/data/books-2M --output-dir /tmp/books-preprocessed "
              "--corpus tests/data/books/calib.txt --pack --calib tests/data/books/calib.txt "
              "--samples 32 --seq-len 256 --steps 200",
          .positional = "",
          .options = preprocess_option_groups(),
          .stops_on_signals = true,
          .watched = true,
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<PreprocessCommand>(read_preprocess_request(files, settings));
          }};
}

}  // namespace bitmill

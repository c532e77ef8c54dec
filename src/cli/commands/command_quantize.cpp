#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/commands/quantize_job.hpp"
#include "cli/report/console.hpp"

namespace bitmill {
namespace {

class QuantizeCommand : public Command {
 public:
  explicit QuantizeCommand(QuantizeRequest request) : job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    if (job_.request().dry_run) {
      job_.compare_ranks(context);
      context.console.say(job_.mesh_text());
      job_.say_notes(context.console);
      context.console.print(job_.dry_run_text());
      return;
    }
    const QuantizeJob::Outcome outcome = job_.run(context);
    if (job_.request().json) {
      context.console.print(json_line(result_json(job_.options(), outcome.result, outcome.facts)));
    }
    job_.draw(context);
  }

 private:
  QuantizeJob job_;
};

}  // namespace

CommandEntry quantize_entry() {
  return {.name = "quantize",
          .summary = "pack a model to about 1.6 bits per weight",
          .about =
              "Packs the linear layers of a 16-bit Hugging Face model, block by block, with "
              "PTQ1.61: most weights keep one bit, the most important input channels four; "
              "scales are learned on a calibration text.",
          .usage = {"quantize --model DIR --output-dir DIR --calib FILE [options]"},
          .example =
              "bitmill quantize --model tests/data/books-2M --output-dir /tmp/books-packed "
              "--calib tests/data/books/calib.txt --samples 32",
          .positional = "",
          .options = quantize_option_groups(),
          .stops_on_signals = true,
          .watched = true,
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<QuantizeCommand>(read_quantize_request(files, settings));
          }};
}

}  // namespace bitmill

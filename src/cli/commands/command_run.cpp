#include <memory>

#include "cli/commands/chain_config.hpp"
#include "cli/commands/chain_job.hpp"
#include "cli/commands/command.hpp"

namespace bitmill {
namespace {

class RunCommand : public Command {
 public:
  explicit RunCommand(ChainRequest request) : dry_run_(request.dry_run), job_(std::move(request)) {}

  void check(const CheckContext& context) override { job_.check(context); }

  void run(RunContext& context) override {
    if (dry_run_) {
      job_.show_forecast(context);
    } else {
      job_.run(context);
    }
  }

 private:
  const bool dry_run_;
  ChainJob job_;
};

}  // namespace

CommandEntry run_entry() {
  return {.name = "run",
          .summary = "preprocess, quantize, tune and evaluate, from one config file",
          .about =
              "Does a whole chain from a config file, as one job that can be stopped and goes on: "
              "[preprocess] (where it is there), [quantize], [tune] (where it is there) and [eval] "
              "hold the options of these commands, [run] the ones below. Each part works on the "
              "folder of the part before; only the last one writes --output-dir. Ends with a table "
              "of bits and perplexities: of the original, and of the folder of every part.",
          .usage = {"run --config FILE [options]"},
          .example = "bitmill run --config configs/chains/best.cfg",
          .positional = "",
          .options = run_option_groups(),
          .stops_on_signals = true,
          .watched = true,
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<RunCommand>(read_chain_request(files, settings));
          }};
}

}  // namespace bitmill

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/memory.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/options/tune_options.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/tune_report.hpp"
#include "comm/gather.hpp"
#include "pipeline/checks/tune_check.hpp"
#include "pipeline/tune.hpp"

namespace bitmill {
namespace {

class TuneCommand : public Command {
 public:
  explicit TuneCommand(TuneRequest request) : request_(std::move(request)) {}

  void check(const CheckContext& context) override {
    ranks_ = context.ranks;
    threads_ = context.threads;
    checked_.emplace(check_tune(request_.options, context.files, ranks_, threads_));
  }

  void run(RunContext& context) override {
    const Clock clock = steady_clock();
    const double begin = clock();
    const TuneOptions& options = checked_->options;
    const TuneForecast& forecast = checked_->forecast;
    const auto device = take_device(context, options.backend, options.dtype);
    introduce(context.console, *device);
    if (request_.dry_run) {
      compare_ranks(*checked_, context.files, context.comm, *device, host_name());
      context.console.print(request_.json
                                ? json_line(forecast_json(options, forecast, ranks_, threads_))
                                : describe_forecast(options, forecast));
      return;
    }
    TuneProgress progress(context.console, context.activity, forecast, clock);
    const RunControl control = make_job_control(context, options.work_dir, request_.time_limit_s);
    const TuneResult result =
        tune(*checked_, context.files, context.comm, *device, progress, control);
    const RunFacts facts = {clock() - begin,
                            std::ranges::max(gather_value(context.comm, peak_memory_bytes())),
                            forecast.peak_memory_bytes, ranks_};
    context.console.say(fmt::format("\n{}", describe_tuning(options, result, facts)));
    if (request_.json) context.console.print(json_line(tuning_json(options, result, facts)));
  }

 private:
  void introduce(Console& console, const Device& device) const {
    const TuneOptions& options = checked_->options;
    const TuneForecast& forecast = checked_->forecast;
    console.say(fmt::format(
        "bitmill tune: {} towards {} on {} with {} each, {} of {}, {}\n"
        "{} of {} packed linears; {} windows of {} tokens to train on, {} held out; batch "
        "{}, rate {}, at most {}{}",
        options.model, options.reference, format_number_of("rank", ranks_),
        format_number_of("thread", threads_), format_number_of("stage", forecast.mesh.stages),
        format_number_of("replica", forecast.mesh.replicas), backend_words(options.backend, device),
        what_is_trained(forecast), forecast.linears, forecast.train, forecast.seq_len,
        forecast.held_out, options.batch, rate_words(options), of_epochs(options, forecast),
        options.shuffle_seed ? fmt::format("; windows shuffled by seed {}", *options.shuffle_seed)
                             : ""));
    for (const std::string& note :
         {idle_ranks_note(options, forecast), few_held_out_note(forecast)}) {
      if (!note.empty()) console.say(note);
    }
    for (const std::string& note : forecast.notes) console.say("note: " + note);
    if (!request_.backend_note.empty()) console.say("note: " + request_.backend_note);
  }

  const TuneRequest request_;
  std::optional<CheckedTune> checked_;  // from check() on
  int ranks_ = 1;
  int threads_ = 1;
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

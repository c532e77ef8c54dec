#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/memory.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/commands/quantize_job.hpp"
#include "cli/options/preprocess_options.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/console.hpp"
#include "cli/report/preprocess_report.hpp"
#include "cli/report/quantity.hpp"
#include "comm/gather.hpp"
#include "pipeline/checks/preprocess_check.hpp"
#include "pipeline/preprocess.hpp"

namespace bitmill {
namespace {

class PreprocessCommand : public Command {
 public:
  explicit PreprocessCommand(PreprocessRequest request) : request_(std::move(request)) {
    if (request_.base) base_.emplace(*request_.base);
  }

  void check(const CheckContext& context) override {
    ranks_ = context.ranks;
    threads_ = context.threads;
    if (!base_) {
      checked_.emplace(check_preprocess(request_.options, context.files, ranks_, threads_));
      return;
    }
    PreprocessOptions without_base = request_.options;
    without_base.packed.clear();
    forecast_ = check_before_base(without_base, context.files, ranks_, threads_);
    base_->check(context);
  }

  void run(RunContext& context) override {
    const Clock clock = steady_clock();
    const double begin = clock();
    if (request_.dry_run) return show_forecast(context);
    if (base_) {
      base_->run(context);
      checked_.emplace(check_preprocess(request_.options, context.files, ranks_, threads_));
    }
    const PreprocessOptions& options = checked_->options;
    const PreprocessForecast& forecast = checked_->forecast;
    const auto device = take_device(context, options.backend, options.dtype);
    introduce(context.console, *device);
    PreprocessProgress progress(context.console, context.activity, forecast, clock);
    const RunControl control = make_control(context, clock() - begin);
    const PreprocessResult result =
        preprocess(*checked_, context.files, context.comm, *device, progress, control);
    const RunFacts facts = {clock() - begin,
                            std::ranges::max(gather_value(context.comm, peak_memory_bytes())),
                            forecast.peak_memory_bytes, ranks_};
    context.console.say(fmt::format("\n{}", describe_preprocess(options, forecast, result, facts)));
    if (request_.json) {
      context.console.print(json_line(preprocess_json(options, forecast, result, facts)));
    }
  }

 private:
  // `spent`: seconds of the time limit that the base took.
  RunControl make_control(RunContext& context, double spent) const {
    std::optional<double> left = request_.time_limit_s;
    if (left) left = std::max(0.0, *left - spent);
    return make_job_control(context, request_.options.work_dir, left);
  }

  void show_forecast(RunContext& context) {
    const PreprocessForecast& forecast = checked_ ? checked_->forecast : forecast_;
    const PreprocessOptions& options = request_.options;
    if (checked_) {
      const auto device = take_device(context, options.backend, options.dtype);
      introduce(context.console, *device);
      compare_ranks(*checked_, context.files, context.comm, *device, host_name());
    } else {
      base_->compare_ranks(context);
      context.console.say("first the base:");
      context.console.say(base_->mesh_text());
      base_->say_notes(context.console);
      context.console.say(describe_forecast(base_->options(), base_->forecast(), ranks_, threads_));
      context.console.say("then the training:");
    }
    context.console.print(request_.json
                              ? json_line(forecast_json(options, forecast, ranks_, threads_))
                              : describe_forecast(options, forecast));
  }

  void introduce(Console& console, const Device& device) const {
    const PreprocessOptions& options = checked_->options;
    const PreprocessForecast& forecast = checked_->forecast;
    console.say(fmt::format(
        "bitmill preprocess: adapters on {} on {} with {} each, {} of {}, {}\n"
        "{} values of {} adapters of rank {}; {} of {} sequences of up to {} tokens, rate {}, {} "
        "of warm-up; loss: {}",
        options.packed, format_number_of("rank", ranks_), format_number_of("thread", threads_),
        format_number_of("stage", forecast.mesh.stages),
        format_number_of("replica", forecast.mesh.replicas), backend_words(options.backend, device),
        format_count(forecast.values), forecast.adapters, options.lora.rank,
        format_number_of("step", forecast.steps), options.batch, forecast.seq_len,
        options.lora.rate, format_number_of("step", forecast.warmup_steps),
        options.loss == TrainingLoss::cross_entropy ? "cross-entropy of the text"
                                                    : "divergence from the original"));
    const std::string idle = idle_ranks_note(options, forecast);
    if (!idle.empty()) console.say(idle);
    for (const std::string& note : forecast.notes) console.say("note: " + note);
    if (!request_.backend_note.empty()) console.say("note: " + request_.backend_note);
  }

  const PreprocessRequest request_;
  std::optional<QuantizeJob> base_;           // where the base is to be made
  std::optional<CheckedPreprocess> checked_;  // from when there is a base
  PreprocessForecast forecast_;               // before that
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace

CommandEntry preprocess_entry() {
  return {
      .name = "preprocess",
      .summary = "move a model's weights to where packing hurts less, for quantize",
      .about =
          "PTQ1.61's restorative LoRA: packs the model, trains low-rank adapters on the packed "
          "weights with a text of any size, and writes both added up as an ordinary 16-bit "
          "model, which is then packed in the place of the original. A long stage: it can be "
          "stopped at any time, and goes on on any number of ranks.",
      .usage = {"preprocess --model DIR --output-dir DIR --corpus FILES --calib FILE [options]",
                "preprocess --model DIR --packed DIR --output-dir DIR --corpus FILES [options]"},
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

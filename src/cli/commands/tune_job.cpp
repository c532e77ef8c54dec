#include "cli/commands/tune_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/memory.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/tune_report.hpp"
#include "comm/gather.hpp"

namespace bitmill {

void TuneJob::check(const CheckContext& context) {
  ranks_ = context.ranks;
  threads_ = context.threads;
  checked_.emplace(check_tune(request_.options, context.files, ranks_, threads_));
}

void TuneJob::compare_ranks(RunContext& context) {
  const auto device = take_device(context, options().backend, options().dtype);
  introduce(context.console, *device);
  bitmill::compare_ranks(*checked_, context.files, context.comm, *device, host_name());
}

std::string TuneJob::dry_run_text() const {
  return request_.json ? json_line(forecast_json(options(), forecast(), ranks_, threads_))
                       : describe_forecast(options(), forecast());
}

TuneJob::Outcome TuneJob::run(RunContext& context) {
  forget_peak_memory();
  const Clock clock = steady_clock();
  const double begin = clock();
  const auto device = take_device(context, options().backend, options().dtype);
  introduce(context.console, *device);
  TuneProgress progress(context.console, context.activity, forecast(), clock);
  const RunControl control = make_job_control(context, options().work_dir, request_.time_limit_s);
  Outcome outcome;
  outcome.result = tune(*checked_, context.files, context.comm, *device, progress, control);
  outcome.facts = {clock() - begin,
                   std::ranges::max(gather_value(context.comm, peak_memory_bytes())),
                   forecast().peak_memory_bytes, ranks_};
  context.console.say(
      fmt::format("\n{}", describe_tuning(options(), outcome.result, outcome.facts)));
  return outcome;
}

void TuneJob::introduce(Console& console, const Device& device) const {
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

}  // namespace bitmill

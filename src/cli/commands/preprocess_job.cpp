#include "cli/commands/preprocess_job.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/memory.hpp"
#include "cli/commands/job_control.hpp"
#include "cli/options/pictures.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/console.hpp"
#include "cli/report/preprocess_report.hpp"
#include "cli/report/quantity.hpp"
#include "comm/gather.hpp"
#include "model/config.hpp"
#include "pipeline/checks/evaluation_text.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {

PreprocessJob::PreprocessJob(PreprocessRequest request) : request_(std::move(request)) {
  if (request_.base) base_.emplace(*request_.base);
}

void PreprocessJob::check(const CheckContext& context) {
  ranks_ = context.ranks;
  threads_ = context.threads;
  if (request_.planned_ranks > 0) {
    ranks_ = request_.planned_ranks;
    forecast_ = check_shape(request_.options, context.files, ranks_, threads_);
    return;
  }
  const PreprocessOptions& o = request_.options;
  check_curve_page(context.files, request_.page,
                   {{"--model", o.model},
                    {"--packed", o.packed},
                    {"--output-dir", o.output_dir},
                    {"--work-dir", o.work_dir}});
  if (!base_) {
    checked_.emplace(check_preprocess(request_.options, context.files, ranks_, threads_));
    return;
  }
  PreprocessOptions without_base = request_.options;
  without_base.packed.clear();
  forecast_ = check_before_base(without_base, context.files, ranks_, threads_);
  base_->check(context);
  if (o.evaluation.empty()) return;
  const ModelConfig config = read_model_config(context.files, o.model, o.reading);
  overlap_ = calibration_overlap(base_->calibration(),
                                 read_evaluation(o, context.files, config.vocab_size).text);
}

void PreprocessJob::say_overlap(Console& console) const {
  if (!overlap_.empty()) console.say("note: " + overlap_);
}

PreprocessJob::Outcome PreprocessJob::run(RunContext& context) {
  const Clock clock = steady_clock();
  const double begin = clock();
  forget_peak_memory();
  if (base_) {
    say_overlap(context.console);
    base_->run(context);
    if (context.chain != nullptr) context.chain->base_done();
    forget_peak_memory();
    checked_.emplace(check_preprocess(request_.options, context.files, ranks_, threads_));
  }
  const auto device = take_device(context, options().backend, options().dtype);
  introduce(context.console, *device);
  PreprocessProgress progress(context.console, context.activity, forecast(), clock);
  const RunControl control = make_control(context, clock() - begin);
  Outcome outcome;
  try {
    outcome.result = preprocess(*checked_, context.files, context.comm, *device, progress, control);
  } catch (const AgreedStop&) {
    draw(context);
    throw;
  }
  outcome.facts = {clock() - begin,
                   std::ranges::max(gather_value(context.comm, peak_memory_bytes())),
                   forecast().peak_memory_bytes, ranks_};
  context.console.say(fmt::format(
      "\n{}", describe_preprocess(options(), forecast(), outcome.result, outcome.facts)));
  draw(context);
  return outcome;
}

// What was trained is safe by now: a page that cannot be written is said, and no error.
void PreprocessJob::draw(RunContext& context) const {
  if (request_.page.empty() || context.comm.rank() != 0) return;
  try {
    if (write_curve_page(context.files, request_.page, options().work_dir)) return;
    context.console.say("note: --timeline: nothing was measured yet, so nothing is drawn");
  } catch (const FileError& error) {
    context.console.say(error.what());
  }
}

RunControl PreprocessJob::make_control(RunContext& context, double spent) const {
  std::optional<double> left = request_.time_limit_s;
  if (left) left = std::max(0.0, *left - spent);
  return make_job_control(context, request_.options.work_dir, left);
}

void PreprocessJob::compare_ranks(RunContext& context) {
  if (checked_) {
    const auto device = take_device(context, options().backend, options().dtype);
    introduce(context.console, *device);
    bitmill::compare_ranks(*checked_, context.files, context.comm, *device, host_name());
    return;
  }
  if (request_.planned_ranks > 0) {
    const std::string idle = idle_ranks_note(options(), forecast());
    if (!idle.empty()) context.console.say(idle);
    return;
  }
  base_->compare_ranks(context);
  context.console.say("first the base:");
  context.console.say(base_->mesh_text());
  base_->say_notes(context.console);
  say_overlap(context.console);
  context.console.say(describe_forecast(base_->options(), base_->forecast(), ranks_, threads_));
  context.console.say("then the training:");
}

std::string PreprocessJob::dry_run_text() const {
  return request_.json ? json_line(forecast_json(options(), forecast(), ranks_, threads_))
                       : describe_forecast(options(), forecast());
}

void PreprocessJob::introduce(Console& console, const Device& device) const {
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
      format_number_of("step", forecast.steps), options.batch, forecast.seq_len, options.lora.rate,
      format_number_of("step", forecast.warmup_steps),
      options.loss == TrainingLoss::cross_entropy ? "cross-entropy of the text"
                                                  : "divergence from the original"));
  const std::string idle = idle_ranks_note(options, forecast);
  if (!idle.empty()) console.say(idle);
  for (const std::string& note : forecast.notes) console.say("note: " + note);
  if (!request_.backend_note.empty()) console.say("note: " + request_.backend_note);
}

}  // namespace bitmill

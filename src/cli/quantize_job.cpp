#include "cli/quantize_job.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "cli/action_clock.hpp"
#include "cli/activity_observer.hpp"
#include "cli/hardware.hpp"
#include "cli/json_line.hpp"
#include "cli/launch.hpp"
#include "cli/peak_memory.hpp"
#include "cli/progress.hpp"
#include "cli/quantity.hpp"
#include "cli/run_control.hpp"
#include "model/config.hpp"
#include "pipeline/workload.hpp"

namespace bitmill {

void QuantizeJob::check(const CheckContext& context) {
  ranks_ = context.ranks;
  threads_ = context.threads;
  check_pictures(context.files, request_.pictures, options().output_dir);
  std::optional<ModelConfig> config;
  try {
    config = read_model_config(context.files, options().model);
    choose_mesh(context, *config);
  } catch (const FormatError&) {
    // A model that cannot be read: what follows says so, and what else is wrong.
  } catch (const FileError&) {
  }
  plan_ = plan_quantize(options(), context.files, ranks_, threads_);
  forecast_ = forecast_of(context, *config);
}

void QuantizeJob::compare_ranks(RunContext& context) const {
  bitmill::compare_ranks(options(), plan_, context.files, context.comm, host_name());
}

// Of the meshes that the user leaves open, the one that the planner finds soonest on a processor.
void QuantizeJob::choose_mesh(const CheckContext& context, const ModelConfig& config) {
  PlanRequest request;
  request.work = workload_of(options(), config);
  request.machine = read_hardware(context.files, "cpu", threads_);
  request.ranks = ranks_;
  request.stages = options().stages;
  request.walk = options().walk;
  request.memory_limit = request_.memory_limit;
  const Forecast chosen = choose_plan(request);
  request_.options.stages = chosen.mesh.stages;
  request_.options.walk = chosen.walk;
  if (chosen.mesh.ranks() == ranks_) return;

  Settings other;
  other.add("model", {options().model, "--model"});
  other.add("recipe", {"parallel", "--recipe"});
  other.add("epochs", {fmt::to_string(options().epochs), "--epochs"});
  other.add("samples", {fmt::to_string(options().samples), "--samples"});
  if (options().seq_len > 0) other.add("seq-len", {fmt::to_string(options().seq_len), "--seq-len"});
  request.work = workload_of(read_plan_options(context.files, other), config);
  if (request.work.batch > request.work.samples) return;
  request.stages = 0;
  request.walk = Walk::automatic;
  request.memory_limit = 0;
  parallel_s_ = choose_plan(request).makespan_s();
}

// Of what will be done: the calibration has been read, and its windows may be others than those
// that the mesh was chosen for.
Forecast QuantizeJob::forecast_of(const CheckContext& context, const ModelConfig& config) const {
  QuantizeOptions known = options();
  known.samples = plan_.samples;
  known.seq_len = plan_.seq_len;
  PlanRequest request;
  request.work = workload_of(known, config);
  request.machine = read_hardware(context.files, "cpu", threads_);
  request.ranks = ranks_;
  return forecast(request, plan_.mesh, plan_.walk);
}

std::string QuantizeJob::mesh_text() const {
  std::string text =
      fmt::format("mesh: {} of {}, {}; forecast {}", format_number_of("stage", plan_.mesh.stages),
                  format_number_of("replica", plan_.mesh.replicas),
                  plan_.walk == Walk::wavefront ? "wavefront" : "sweep",
                  format_seconds(forecast_.makespan_s()));
  const std::string idle = idle_ranks_note(options(), plan_, ranks_);
  if (idle.empty()) return text;
  text += "\n" + idle;
  if (parallel_s_ > 0 && parallel_s_ < 0.9 * forecast_.makespan_s()) {
    text += fmt::format(" Forecast with --recipe parallel: {}.", format_seconds(parallel_s_));
  }
  return text;
}

std::string QuantizeJob::dry_run_text() const {
  return request_.json ? json_line(plan_json(options(), plan_, ranks_, threads_))
                       : describe_plan(options(), plan_, ranks_, threads_);
}

void QuantizeJob::draw(RunContext& context) const {
  if (timelines_.empty() || context.comm.rank() != 0) return;
  write_pictures(context.files, request_.pictures,
                 fmt::format("{}, recipe {}", options().output_dir, options().recipe), timelines_);
}

QuantizeResult QuantizeJob::quantize_timed(RunContext& context, QuantizeObserver& observer,
                                           const RunControl& control) {
  const auto run = [&](QuantizeObserver& heard) {
    return quantize(options(), context.files, context.comm, context.pool, heard, control);
  };
  if (!request_.pictures.any()) return run(observer);
  ActionClock clock(context.comm, steady_clock(), observer);
  const auto take_timelines = [&] {
    timelines_ = {planned_timeline(forecast_, "as planned"), clock.timeline("as it was")};
  };
  try {
    QuantizeResult result = run(clock);
    if (!result.already_done) take_timelines();
    return result;
  } catch (const AgreedStop&) {
    take_timelines();
    try {
      draw(context);
    } catch (const FileError& error) {
      context.console.say(error.what());  // why the run ended counts for more
    }
    throw;
  }
}

QuantizeJob::Outcome QuantizeJob::run(RunContext& context) {
  const Clock clock = steady_clock();
  const double begin = clock();
  context.console.say(fmt::format("bitmill quantize: {} on {} with {} each, backend {}",
                                  options().model, format_number_of("rank", ranks_),
                                  format_number_of("thread", threads_), options().backend));
  context.console.say(describe_settings(options(), plan_));
  context.console.say(mesh_text());

  QuantizeProgress progress(context.console,
                            {plan_.blocks, options().epochs, options().epochs / plan_.turns,
                             plan_.steps_per_epoch, plan_.mesh.stages},
                            clock);
  ActivityObserver observer(context.activity, progress);
  Outcome outcome;
  const std::string report_path = join_path(options().work_dir, "trouble.json");
  // Rank 0 judges, and may be refused the folder; the others come to judge when it is lost.
  if (context.comm.rank() != 0) context.watch.set_report_path(report_path);
  RunControl control = make_run_control(context.stop, request_.time_limit_s);
  control.work_dir_answers = [&] {
    context.watch.set_report_path(report_path);
    leave_run_note(context.files, options().work_dir);
  };
  outcome.result = quantize_timed(context, observer, control);
  outcome.facts = {clock() - begin, largest_peak_memory(context.comm), plan_.peak_memory_bytes,
                   ranks_};
  const std::string quality = quality_table(outcome.result.blocks);
  if (!quality.empty()) context.console.say(fmt::format("\n{}", quality));
  context.console.say(
      fmt::format("\n{}", describe_result(options(), outcome.result, outcome.facts)));
  return outcome;
}

}  // namespace bitmill

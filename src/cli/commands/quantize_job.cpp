#include "cli/commands/quantize_job.hpp"
#include "cli/commands/job_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/memory.hpp"
#include "cli/options/hardware.hpp"
#include "cli/options/recipe.hpp"
#include "cli/process/activity_observer.hpp"
#include "cli/process/compute_device.hpp"
#include "cli/process/launch.hpp"
#include "cli/report/action_clock.hpp"
#include "cli/report/console.hpp"
#include "cli/report/progress.hpp"
#include "cli/report/quantity.hpp"
#include "comm/gather.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

// The memory that a rank may use when the user gave no limit: half of its part of what is free on
// the hosts, and no more than the hardware table says. Only half, because compare_ranks() measures
// again later: by then ranks have read their calibration, other processes may have grown, and
// another job may have counted on the same bytes.
int64_t usual_memory_limit(int64_t table_bytes, int64_t share) {
  const int64_t usable = share / 2;
  if (table_bytes == 0 || usable == 0) return std::max(table_bytes, usable);
  return std::min(table_bytes, usable);
}

}  // namespace

void QuantizeJob::check(const CheckContext& context) {
  const QuantizeOptions& given = request_.options;
  ranks_ = context.ranks;
  threads_ = context.threads;
  given_stages_ = given.stages;
  check_pictures(context.files, request_.pictures, given.model, given.output_dir);
  machine_ = read_hardware(context.files, request_.hardware, context.least.threads);
  node_ = read_node_links(context.files, request_.hardware);
  const int64_t table_memory = machine_.memory_bytes;
  hold_as_the_backend_does(given, machine_);
  memory_limit_ =
      given.memory_limit > 0
          ? given.memory_limit
          : usual_memory_limit(machine_.own_device() ? 0 : table_memory, context.least.memory);
  try {
    choose_mesh(read_model_config(context.files, given.model, given.reading));
  } catch (const FormatError&) {
    // The model cannot be read. check_quantize() below reports this, with everything else that is
    // wrong.
  } catch (const FileError&) {
  }
  checked_.emplace(check_quantize(request_.options, context.files, ranks_, threads_));
  const ModelConfig& config = checked_->model.config();
  simulated_ = simulate_job(config);
  const QuantizeOptions known = known_options();
  set_resume_costs(*checked_, resume_costs(plan_request(known, config).work, machine_,
                                           forecast().mesh, simulated_.plan.band));
  if (forecast().mesh.ranks() < ranks_) {
    sooner_recipe_ = find_sooner_recipe(context.files, config);
  }
}

const Device& QuantizeJob::device(const RunContext& context) {
  if (!device_) {
    device_ = take_device(context, options().backend, options().dtype);
  }
  return *device_;
}

void QuantizeJob::compare_ranks(RunContext& context) {
  bitmill::compare_ranks(*checked_, context.files, context.comm, device(context), host_name());
}

PlanRequest QuantizeJob::plan_request(const QuantizeOptions& known,
                                      const ModelConfig& config) const {
  PlanRequest request;
  request.work = workload_of(known, config);
  request.machine = machine_;
  request.node = node_;
  request.ranks = ranks_;
  request.stages = known.stages;
  request.walk = known.walk;
  request.memory_limit = memory_limit_;
  request.device_limit_given = known.device_memory_limit > 0;
  return request;
}

// The soonest plan that fits the memory. When the user gave no limit and nothing fits the usual
// one, plans without it, in sweeps, which hold the fewest streams. compare_ranks(), which counts
// what the ranks of a host need together, then decides whether the job may run.
Forecast QuantizeJob::soonest(PlanRequest request) const {
  if (request_.options.memory_limit > 0) return choose_plan(request);
  try {
    return choose_plan(request);
  } catch (const UsageError&) {
    request.memory_limit = 0;
    request.work.save_beside = false;  // there is too little memory already
    return choose_plan(request);
  }
}

// Chooses among the meshes that the user's options allow.
void QuantizeJob::choose_mesh(const ModelConfig& config) {
  const Forecast chosen = soonest(plan_request(request_.options, config));
  request_.options.stages = chosen.mesh.stages;
  request_.options.replicas = chosen.mesh.replicas;
  request_.options.walk = chosen.walk;
  request_.options.save_beside = chosen.save_beside;
  request_.options.resume_costs = resume_costs(plan_request(request_.options, config).work,
                                               machine_, chosen.mesh, chosen.plan.band);
}

// The forecast of the job as it will be done. The mesh was chosen before the calibration was read,
// which may have fewer or shorter windows.
Forecast QuantizeJob::simulate_job(const ModelConfig& config) const {
  return bitmill::forecast(plan_request(known_options(), config), forecast().mesh, forecast().walk);
}

QuantizeOptions QuantizeJob::known_options() const {
  QuantizeOptions known = options();
  known.samples = forecast().samples;
  known.seq_len = forecast().seq_len;
  known.save_beside = forecast().save_beside;
  return known;
}

std::optional<Forecast> QuantizeJob::forecast_with(const std::string& recipe, Files& files,
                                                   const ModelConfig& config) const {
  Settings other;
  other.add("recipe", {recipe, "--recipe"});
  other.add_missing(request_.given);  // single options win over any recipe
  try {
    QuantizeOptions known = read_plan_options(files, other);
    // The calibration may have fewer windows than were asked for, or windows of another length.
    if (forecast().samples < options().samples) {
      known.samples = std::min(known.samples, forecast().samples);
    }
    if (known.seq_len == 0) known.seq_len = forecast().seq_len;
    if (known.batch > known.samples) return std::nullopt;
    return choose_plan(plan_request(known, config));
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

std::optional<OtherRecipe> QuantizeJob::find_sooner_recipe(Files& files,
                                                           const ModelConfig& config) const {
  // A forecast may be wrong by more than a tenth: a smaller saving does not count.
  OtherRecipe best{"", 0.9 * simulated_.makespan_s(), 0};
  for (const EmbeddedRecipe& recipe : embedded_recipes()) {
    if (recipe.name == options().recipe) continue;
    const std::optional<Forecast> other = forecast_with(recipe.name, files, config);
    if (!other || other->mesh.ranks() <= forecast().mesh.ranks()) continue;
    if (other->makespan_s() >= best.makespan_s) continue;
    best = {recipe.name, other->makespan_s(), other->mesh.ranks()};
  }
  return best.name.empty() ? std::nullopt : std::optional(best);
}

void QuantizeJob::say_notes(Console& console) const {
  for (const std::string& note : forecast().notes) console.say("note: " + note);
  if (!request_.backend_note.empty()) console.say("note: " + request_.backend_note);
  if (options().backend == "cuda" && options().method.init == Init::descent) {
    console.say(
        "note: coordinate descent (--init cd), and what it starts from, is computed on the "
        "host's threads; the rest of a block on the GPU");
  }
}

std::string QuantizeJob::mesh_text() const {
  return mesh_line(options(), forecast(),
                   {ranks_, given_stages_, simulated_.makespan_s(), sooner_recipe_});
}

std::string QuantizeJob::dry_run_text() const {
  return request_.json ? json_line(forecast_json(options(), forecast(), ranks_, threads_))
                       : describe_forecast(options(), forecast(), ranks_, threads_);
}

void QuantizeJob::draw(RunContext& context) const {
  if (timelines_.empty() || context.comm.rank() != 0) return;
  write_pictures(context.files, request_.pictures,
                 fmt::format("{}, recipe {}", options().output_dir, options().recipe), timelines_);
}

QuantizeResult QuantizeJob::quantize_timed(RunContext& context, QuantizeObserver& observer,
                                           const RunControl& control) {
  const auto run = [&](QuantizeObserver& heard) {
    return quantize(*checked_, context.files, context.comm, device(context), heard, control);
  };
  // Timelines are gathered from all ranks, whoever asked for a picture.
  const std::vector<char> asked =
      gather_value(context.comm, static_cast<char>(request_.pictures.any()));
  if (std::ranges::count(asked, 0) == std::ssize(asked)) return run(observer);
  ActionClock clock(context.comm, steady_clock(), observer);
  const auto take_timelines = [&] {
    timelines_ = {planned_timeline(simulated_, "as planned"), clock.timeline("as it was")};
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
      context.console.say(error.what());  // the stop is rethrown: it is the more important news
    }
    throw;
  }
}

QuantizeJob::Outcome QuantizeJob::run(RunContext& context) {
  forget_peak_memory();
  const Clock clock = steady_clock();
  const double begin = clock();
  context.console.say(fmt::format("bitmill quantize: {} on {} with {} each, {}", options().model,
                                  format_number_of("rank", ranks_),
                                  format_number_of("thread", threads_),
                                  backend_words(options().backend, device(context))));
  context.console.say(describe_settings(options(), forecast()));
  say_notes(context.console);
  context.console.say(mesh_text());

  QuantizeProgress progress(context.console,
                            {forecast().blocks, options().epochs, options().lag,
                             forecast().steps_per_epoch, forecast().mesh.stages},
                            clock);
  ActivityObserver observer(context.activity, progress);
  Outcome outcome;
  const RunControl control = make_job_control(context, options().work_dir, request_.time_limit_s);
  outcome.result = quantize_timed(context, observer, control);
  outcome.facts = {clock() - begin,
                   std::ranges::max(gather_value(context.comm, peak_memory_bytes())),
                   forecast().peak_memory_bytes, ranks_};
  const std::string quality = quality_table(outcome.result.blocks);
  if (!quality.empty()) context.console.say(fmt::format("\n{}", quality));
  context.console.say(
      fmt::format("\n{}", describe_result(options(), outcome.result, outcome.facts)));
  return outcome;
}

}  // namespace bitmill

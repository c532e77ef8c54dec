#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/problems.hpp"
#include "checkpoint/holder.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/plan_tune.hpp"
#include "cli/options/hardware.hpp"
#include "cli/options/pictures.hpp"
#include "cli/options/quantize_options.hpp"
#include "cli/options/run_folder_options.hpp"
#include "cli/report/console.hpp"
#include "cli/report/plan_report.hpp"
#include "cli/report/quantity.hpp"
#include "model/config.hpp"
#include "model/source_model.hpp"
#include "pipeline/checks/measure_machine.hpp"
#include "pipeline/checks/place_check.hpp"
#include "pipeline/checks/preflight.hpp"
#include "pipeline/checks/selection_check.hpp"
#include "pipeline/checks/workload.hpp"
#include "pipeline/job/quantize_options.hpp"

namespace bitmill {
namespace {

class PlanCommand : public Command {
 public:
  PlanCommand(Files& files, const Settings& settings)
      : options_(read_plan_options(files, settings)),
        hardware_(settings.text_or("hardware", default_hardware)),
        pictures_(read_pictures(settings)),
        calibrate_(settings.is_on("calibrate")),
        save_(settings.text_or("save", "")),
        scratch_dir_(settings.folder_or("scratch-dir", ".")),
        json_(settings.is_on("json")) {
    for (const char* option : {"save", "scratch-dir"}) {
      BITMILL_CHECK(calibrate_ || !settings.has(option), UsageError,
                    fmt::format("{} has no effect without --calibrate", settings.origin(option)));
    }
    request_.ranks = static_cast<int>(settings.whole_or("ranks", 1, 1, 1 << 20));
    request_.stages = options_.stages;
    request_.walk = options_.walk;
    request_.memory_limit = settings.bytes_or("memory-limit", 0);
    options_.device_memory_limit = settings.bytes_or("device-memory-limit", 0);
  }

  void check(const CheckContext& context) override {
    check_places(context.files);
    request_.machine = read_hardware(context.files, hardware_, context.threads);
    request_.node = read_node_links(context.files, hardware_);
    read_device();
    const ModelConfig config = read_model_config(context.files, options_.model, options_.reading);
    check_job(config);
    request_.work = workload_of(options_, config);
    if (!calibrate_) check_is_needed(options_.reading, config);
    if (calibrate_) {
      // throws when weights are wrong
      const SourceModel model(context.files, options_.model, options_.reading);
      check_is_needed(options_.reading, std::array{&model});
      request_.machine.samples_at_once = context.threads;
    }
    // Plan also before measuring. The memory that a rank needs depends little on its speed, so a
    // job that does not fit is refused now.
    forecast_ = choose_plan(request_);
  }

  void run(RunContext& context) override {
    if (calibrate_) calibrate(context);
    if (context.comm.rank() != 0) return;
    context.console.print(json_ ? json_line(forecast_json(request_, forecast_))
                                : describe_forecast(request_, forecast_));
    if (!pictures_.any()) return;
    const Timeline timeline = planned_timeline(forecast_, "as planned");
    write_pictures(
        context.files, pictures_,
        fmt::format("{} on {} ({}), recipe {}", options_.model,
                    format_number_of("rank", request_.ranks), hardware_, options_.recipe),
        {&timeline, 1});
  }

 private:
  // The device of the table, where it has memory of its own: how wide it computes, and the limit.
  void read_device() {
    Machine& machine = request_.machine;
    const int64_t limit = options_.device_memory_limit;
    BITMILL_CHECK(limit == 0 || machine.own_device(), UsageError,
                  fmt::format("--device-memory-limit has no effect on {}, which has one memory: "
                              "--memory-limit is its limit",
                              hardware_));
    if (!machine.own_device()) return;
    options_.dtype = machine.weight_bytes == 2 ? Dtype::bfloat16 : Dtype::float32;
    if (limit > 0) machine.memory_bytes = limit;
    request_.device_limit_given = limit > 0;
  }

  // Before anything is measured.
  void check_places(Files& files) const {
    check_pictures(files, pictures_, options_.model, "");
    if (!calibrate_) return;
    throw_place_problem(folder_problem(files, "--scratch-dir", scratch_dir_));
    if (save_.empty()) return;
    BITMILL_CHECK(
        save_.ends_with(".cfg"), UsageError,
        fmt::format("--save {}: --hardware takes files that end in .cfg; give such a name", save_));
    throw_place_problem(file_problem(files, "--save", save_));
  }

  // Refuses what quantize would refuse, in the same words.
  void check_job(const ModelConfig& config) const {
    Problems problems;
    check_settings(resolve_lag(options_), problems);
    problems.throw_if_any();
    check_selections(options_, config);
    check_batch(options_, options_.samples);
    check_sequence_length(config, options_.model, workload_of(options_, config).seq_len);
  }

  // Collective. Measures this machine and plans again with the figures.
  void calibrate(RunContext& context) {
    Machine& machine = request_.machine;
    machine.start_s = process_age_s();
    const std::string folder = join_path(
        scratch_dir_, fmt::format("bitmill-calibrate-{}-{}", ::getpid(), context.comm.rank()));
    context.console.say(
        fmt::format("measuring block 0 of {} on {} with {} each: {} samples of {} tokens",
                    options_.model, format_number_of("rank", context.comm.size()),
                    format_number_of("thread", context.pool.size()), request_.work.samples,
                    request_.work.seq_len));
    machine = measure_machine(options_, context.files, folder, context.comm, context.pool, machine);
    request_.node = {};  // the link was measured between the ranks that there are
    forecast_ = choose_plan(request_);
    if (context.comm.rank() != 0) return;
    if (!json_) context.console.print(describe_machine(request_.work, machine));
    if (save_.empty()) return;
    const std::string about =
        fmt::format("Measured by bitmill plan --calibrate: {}, {} tokens, {} of {}", options_.model,
                    request_.work.seq_len, format_number_of("rank", context.comm.size()),
                    format_number_of("thread", context.pool.size()));
    replace_file(context.files, save_, hardware_text(machine, about));
  }

  QuantizeOptions options_;
  const std::string hardware_;
  const PictureRequest pictures_;
  const bool calibrate_;
  const std::string save_;
  const std::string scratch_dir_;
  const bool json_;
  PlanRequest request_;
  Forecast forecast_;
};

OptionGroup plan_options() {
  return {
      "what to plan",
      {{"model", "DIR", "", "a Hugging Face folder; its config.json is enough"},
       {"ranks", "N", "1", "ranks that the run would have"},
       {"job", "quantize|tune", "quantize",
        "tune: the memory and disk of bitmill tune of a packed model with that config.json, "
        "without its time; --samples, --seq-len, --epochs, --batch, --learn-signs and --sign-state "
        "as for tune"},
       {"recipe", "NAME", "published", "as for quantize"},
       allow_key_option(),
       tensor_prefix_option(),
       config_option(),
       {"hardware", "NAME", default_hardware,
        "what a rank can do: cpu, a100, h100, h200, or the path of a .cfg file"},
       {"memory-limit", "BYTES", "the hardware's",
        "memory of a rank, on its host where a GPU has its own (then the normal is none); "
        "quantize also looks at what is free on its hosts"},
       {"device-memory-limit", "BYTES", "the hardware's", "memory of a rank's GPU"},
       {"stages", "N", "chosen", "groups of ranks that share the depth"},
       {"walk", "auto|wavefront|sweep", "auto", "as for quantize"},
       stream_memory_option(),
       threads_option(),
       {"calibrate", "", "",
        "measure a block of the model here, under mpirun also the link between ranks, and plan "
        "with these figures; takes about ten seconds, more where a step takes long"},
       {"save", "FILE.cfg", "", "write what was measured, for --hardware"},
       {"scratch-dir", "DIR", ".",
        "where --calibrate measures the disk: best beside the later run folder"},
       json_option("the forecast")}};
}

OptionGroups all_plan_options() {
  return {plan_options(), picture_options(), method_option_group(), plan_tune_options()};
}

}  // namespace

CommandEntry plan_entry() {
  return {.name = "plan",
          .summary = "forecast the time and memory of a run on any number of ranks",
          .about =
              "Simulates the plan that quantize would carry out, on the hardware that a table "
              "describes. Prints time, memory, disk and traffic, and the best mesh of stages and "
              "replicas. Without --calibrate it reads only the model's config.json.",
          .usage = {"plan --model DIR --ranks N [options]",
                    "plan --model DIR --ranks N --calibrate [--save FILE.cfg] [options]",
                    "plan --model DIR --ranks N --job tune [--learn-signs] [options]"},
          .example = "bitmill plan --model tests/data/books-2M --ranks 4 --recipe parallel",
          .positional = "",
          .options = all_plan_options(),
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            if (settings.word_or("job", {"quantize", "tune"}, 0) == 1) {
              return make_plan_tune(settings, all_plan_options());
            }
            settings.require({"model"}, "plan");
            for (const Option& option : plan_tune_options().options) {
              BITMILL_CHECK(
                  !settings.has(option.name), UsageError,
                  fmt::format("{} has no effect without --job tune", settings.origin(option.name)));
            }
            return std::make_unique<PlanCommand>(files, settings);
          }};
}

}  // namespace bitmill

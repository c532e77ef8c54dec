#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/hardware.hpp"
#include "cli/json_line.hpp"
#include "cli/plan_report.hpp"
#include "cli/quantize_options.hpp"
#include "cli/trace.hpp"
#include "model/config.hpp"
#include "pipeline/workload.hpp"

namespace bitmill {
namespace {

class PlanCommand : public Command {
 public:
  PlanCommand(Files& files, const Settings& settings)
      : options_(read_plan_options(files, settings)),
        hardware_(settings.text_or("hardware", "cpu")),
        timeline_(settings.text_or("timeline", "")),
        trace_(settings.text_or("trace", "")),
        json_(settings.is_on("json")) {
    request_.ranks = static_cast<int>(settings.whole_or("ranks", 1, 1, 1 << 20));
    request_.stages = options_.stages;
    request_.walk = options_.walk;
    request_.memory_limit = settings.bytes_or("memory-limit", 0);
  }

  void check(const CheckContext& context) override {
    request_.machine = read_hardware(context.files, hardware_, context.threads);
    request_.work = workload_of(options_, read_model_config(context.files, options_.model));
    forecast_ = choose_plan(request_);
  }

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    context.console.print(json_ ? json_line(forecast_json(request_, forecast_))
                                : describe_forecast(request_, forecast_));
    if (!timeline_.empty()) {
      const std::string title = fmt::format("{} on {} ranks ({}), recipe {}", options_.model,
                                            request_.ranks, hardware_, options_.recipe);
      replace_file(context.files, timeline_, timeline_page(request_, forecast_, title));
    }
    if (!trace_.empty()) replace_file(context.files, trace_, trace_json(forecast_));
  }

 private:
  const QuantizeOptions options_;
  const std::string hardware_;
  const std::string timeline_;
  const std::string trace_;
  const bool json_;
  PlanRequest request_;
  Forecast forecast_;
};

OptionGroup plan_options() {
  return {"what to plan",
          {{"model", "DIR", "", "a Hugging Face folder; its config.json is enough"},
           {"ranks", "N", "1", "ranks that the run would have"},
           {"recipe", "NAME", "published", "as for quantize"},
           config_option(),
           {"hardware", "NAME", "cpu",
            "what a rank can do: cpu, a100, h100, or the path of a .cfg file"},
           {"memory-limit", "BYTES", "the hardware's", "memory of a rank"},
           {"stages", "N", "chosen", "groups of ranks that share the depth"},
           {"walk", "auto|wavefront|sweep", "auto", "as for quantize"},
           threads_option(),
           {"timeline", "FILE", "", "draw it: a page for a browser"},
           {"trace", "FILE", "", "write it as events for a trace viewer (Chrome's format)"},
           json_option("the forecast")}};
}

}  // namespace

CommandEntry plan_entry() {
  return {.name = "plan",
          .summary = "what a run would take, on any number of ranks",
          .about =
              "Simulates the very plan that quantize would carry out, on hardware as a table "
              "describes it: time, memory, and the best mesh of stages and replicas. Reads the "
              "model's config.json and nothing else.",
          .usage = {"plan --model DIR --ranks N [options]"},
          .example = "bitmill plan --model tests/data/books-2M --ranks 4 --recipe parallel",
          .positional = "",
          .options = {plan_options(), method_option_group()},
          .make = [](Files& files, const Settings& settings) -> std::unique_ptr<Command> {
            settings.require({"model"}, "plan");
            return std::make_unique<PlanCommand>(files, settings);
          }};
}

}  // namespace bitmill

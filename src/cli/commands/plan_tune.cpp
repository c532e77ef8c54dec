#include "cli/commands/plan_tune.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.hpp"
#include "cli/options/corpus_options.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "cli/report/tune_report.hpp"
#include "model/config.hpp"
#include "pipeline/checks/calibration.hpp"
#include "pipeline/checks/tune_forecast.hpp"
#include "pipeline/checks/whole_model_check.hpp"

namespace bitmill {
namespace {

constexpr std::array has_effect = {
    "job",           "model",       "ranks",      "stages",        "threads", "json",
    "stream-memory", "allow-key",   "config",     "tensor-prefix", "samples", "seq-len",
    "batch",         "learn-signs", "sign-state", "sign-blocks",   "epochs",  "held-out"};

TuneOptions read_planned_tune(const Settings& settings) {
  TuneOptions options;
  options.model = settings.folder_or("model", "");
  options.reading = read_model_reading(settings);
  options.samples = settings.whole_or("samples", options.samples, 2, INT64_MAX);
  options.seq_len = settings.whole_or("seq-len", options.seq_len, 2, INT64_MAX);
  options.epochs = static_cast<int>(settings.whole_or("epochs", options.epochs, 1, INT_MAX));
  options.held_out = read_held_out(settings, options.held_out);
  options.batch = settings.whole_or("batch", options.batch, 1, INT64_MAX);
  options.learn_signs = settings.is_on("learn-signs");
  options.half_latents = settings.word_or("sign-state", {"32", "16"}, 0) == 1;
  options.sign_blocks = settings.whole_or("sign-blocks", options.sign_blocks, 1, INT64_MAX);
  for (const char* option : {"sign-state", "sign-blocks"}) {
    BITMILL_CHECK(options.learn_signs || !settings.has(option), UsageError,
                  fmt::format("{} has no effect without --learn-signs", settings.origin(option)));
  }
  options.stages = static_cast<int>(settings.whole_or("stages", options.stages, 1, INT_MAX));
  options.stream_memory = settings.bytes_or("stream-memory", options.stream_memory);
  return options;
}

class PlanTune : public Command {
 public:
  explicit PlanTune(const Settings& settings)
      : options_(read_planned_tune(settings)),
        ranks_(static_cast<int>(settings.whole_or("ranks", 1, 1, 1 << 20))),
        json_(settings.is_on("json")) {}

  void check(const CheckContext& context) override {
    const ModelConfig config = read_model_config(context.files, options_.model, options_.reading);
    check_is_needed(options_.reading, config);
    forecast_ = plan_tune(options_, config, mesh_of_stages(options_.stages, config.blocks, ranks_),
                          context.threads);
    check_sequence_length(config, options_.model, forecast_.seq_len);
  }

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    context.console.print(json_ ? json_line(json_text()) : table_text());
  }

 private:
  std::string table_text() const {
    const auto [stages, replicas] = forecast_.mesh;
    Table table({{"", Table::Align::left}, {"", Table::Align::left}});
    table.add_row({"tunes", what_is_trained(forecast_)});
    table.add_row({"windows", fmt::format("{} of {} tokens to train on, {} held out; batch {}",
                                          forecast_.train, forecast_.seq_len, forecast_.held_out,
                                          options_.batch)});
    table.add_row({"mesh", fmt::format("{} of {}", format_number_of("stage", stages),
                                       format_number_of("replica", replicas))});
    table.add_row({"memory", fmt::format("about {} on the busiest rank",
                                         format_bytes(forecast_.peak_memory_bytes))});
    table.add_row(
        {"disk", fmt::format("about {} of state, {} of result", format_bytes(forecast_.state_bytes),
                             format_bytes(forecast_.packed_bytes))});
    if (forecast_.scratch_bytes > 0) {
      table.add_row({"scratch", fmt::format("{} a rank", format_bytes(forecast_.scratch_bytes))});
    }
    return table.text();
  }

  nlohmann::ordered_json json_text() const {
    return {{"job", "tune"},
            {"ranks", ranks_},
            {"stages", forecast_.mesh.stages},
            {"replicas", forecast_.mesh.replicas},
            {"seq_len", forecast_.seq_len},
            {"factors", forecast_.factors},
            {"signs", forecast_.latents},
            {"sign_groups", forecast_.parts.signs ? forecast_.sign_groups.count() : 0},
            {"peak_bytes", forecast_.peak_memory_bytes},
            {"state_bytes", forecast_.state_bytes},
            {"packed_bytes", forecast_.packed_bytes},
            {"scratch_bytes", forecast_.scratch_bytes}};
  }

  const TuneOptions options_;
  const int ranks_;
  const bool json_;
  TuneForecast forecast_;
};

}  // namespace

OptionGroup plan_tune_options() {
  return {"of tune alone",
          {{"sign-blocks", "N", "all", "with --job tune and --learn-signs: as for tune"},
           {"held-out", "RATIO", "0.1", "with --job tune: as for tune"}}};
}

std::unique_ptr<Command> make_plan_tune(const Settings& settings, const OptionGroups& all) {
  settings.require({"model"}, "plan");
  for (const std::string& name : option_names(all)) {
    BITMILL_CHECK(!settings.has(name) || std::ranges::count(has_effect, name) > 0, UsageError,
                  fmt::format("{} has no effect with --job tune", settings.origin(name)));
  }
  return std::make_unique<PlanTune>(settings);
}

}  // namespace bitmill

#pragma once
// `bitmill quantize` between its settings and its words; `bitmill run` has it too.

#include <optional>
#include <string>
#include <vector>

#include "cli/commands/command.hpp"
#include "cli/options/quantize_options.hpp"
#include "cli/report/quantize_report.hpp"
#include "cli/report/timeline.hpp"
#include "model/config.hpp"
#include "pipeline/checks/preflight.hpp"
#include "schedule/planner.hpp"

namespace bitmill {

class QuantizeJob {
 public:
  explicit QuantizeJob(QuantizeRequest request) : request_(std::move(request)) {}

  const QuantizeRequest& request() const { return request_; }

  // Chooses the mesh, and checks the job once: everything below works with what this found.
  void check(const CheckContext& context);

  const QuantizeOptions& options() const { return checked_->options; }
  const QuantizeForecast& forecast() const { return checked_->forecast; }
  // Collective: what the checks of one rank cannot see. run() asks it too.
  void compare_ranks(RunContext& context) const;
  // One line: the mesh, the ranks that idle and why, and what another recipe would save.
  std::string mesh_text() const;
  // For --dry-run: the forecast, as a table or as JSON.
  std::string dry_run_text() const;

  struct Outcome {
    QuantizeResult result;
    RunFacts facts;
  };
  // Collective. Shows progress, the table of blocks and the summary.
  Outcome run(RunContext& context);
  // After run(), and after everything was said: writes the pictures that were asked for.
  void draw(RunContext& context) const;

 private:
  PlanRequest plan_request(const QuantizeOptions& known, const ModelConfig& config) const;
  Forecast soonest(PlanRequest request) const;
  void choose_mesh(const ModelConfig& config);
  Forecast simulate_job(const ModelConfig& config) const;
  // With everything else that was given; nothing where that contradicts the recipe or does not fit.
  std::optional<Forecast> forecast_with(const std::string& recipe, Files& files,
                                        const ModelConfig& config) const;
  // Of the recipes that give more ranks work, the soonest, where it saves time worth speaking of.
  std::optional<OtherRecipe> find_sooner_recipe(Files& files, const ModelConfig& config) const;
  // Collective. quantize(), with its actions on a clock where a picture is asked for.
  QuantizeResult quantize_timed(RunContext& context, QuantizeObserver& observer,
                                const RunControl& control);

  QuantizeRequest request_;
  std::optional<CheckedQuantize> checked_;  // from check() on
  Forecast simulated_;                      // of its schedule: seconds
  std::vector<Timeline> timelines_;  // as planned and as it was; empty where nothing was done
  std::optional<OtherRecipe> sooner_recipe_;
  Machine machine_;           // of the rank that has least: all ranks choose alike
  int64_t memory_limit_ = 0;  // bytes of a rank, for the choice; 0: not known
  int given_stages_ = 0;      // before the choice; 0: not given
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace bitmill

#pragma once
// The job of `bitmill quantize`, without parsing of options. `bitmill run` uses it too.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/command.hpp"
#include "cli/options/quantize_options.hpp"
#include "cli/report/quantize_report.hpp"
#include "cli/report/timeline.hpp"
#include "device/device.hpp"
#include "model/config.hpp"
#include "pipeline/checks/preflight.hpp"
#include "schedule/planner.hpp"

namespace bitmill {

class QuantizeJob {
 public:
  explicit QuantizeJob(QuantizeRequest request) : request_(std::move(request)) {}

  const QuantizeRequest& request() const { return request_; }

  // Chooses the mesh and checks the job. All calls below use the results of this check.
  void check(const CheckContext& context);

  const QuantizeOptions& options() const { return checked_->options; }
  const QuantizeForecast& forecast() const { return checked_->forecast; }
  const Windows& calibration() const { return checked_->calibration.windows; }
  // Collective. Checks what one rank alone cannot see. run() does it too.
  void compare_ranks(RunContext& context);
  // What the user should hear of model, calibration and selections. run() says it too.
  void say_notes(Console& console) const;
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
  // Writes the pictures that were asked for. To be called after run(), when everything was printed.
  void draw(RunContext& context) const;

 private:
  PlanRequest plan_request(const QuantizeOptions& known, const ModelConfig& config) const;
  Forecast soonest(PlanRequest request) const;
  void choose_mesh(const ModelConfig& config);
  QuantizeOptions known_options() const;  // with the windows that were read
  Forecast simulate_job(const ModelConfig& config) const;
  // The forecast with another recipe and all else that was given. Nothing when the options
  // contradict the recipe, or the job does not fit.
  std::optional<Forecast> forecast_with(const std::string& recipe, Files& files,
                                        const ModelConfig& config) const;
  // Among the recipes that give more ranks work, the one that is done soonest; nothing when it
  // saves little.
  std::optional<OtherRecipe> find_sooner_recipe(Files& files, const ModelConfig& config) const;
  // The device of this rank, made once.
  const Device& device(const RunContext& context);
  // Collective. Runs quantize() and records the times of its actions when a picture is asked for.
  QuantizeResult quantize_timed(RunContext& context, QuantizeObserver& observer,
                                const RunControl& control);

  QuantizeRequest request_;
  std::optional<CheckedQuantize> checked_;  // from check() on
  Forecast simulated_;                      // of the checked job, with seconds
  std::unique_ptr<Device> device_;
  std::vector<Timeline> timelines_;  // as planned and as it was; empty when nothing was done
  std::optional<OtherRecipe> sooner_recipe_;
  NodeLinks node_;
  Machine machine_;           // with the least that any rank has, so that all choose the same mesh
  int64_t memory_limit_ = 0;  // bytes of a rank, for the choice; 0: not known
  int given_stages_ = 0;      // before the choice; 0: not given
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace bitmill

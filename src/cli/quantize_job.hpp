#pragma once
// `bitmill quantize` between its settings and its words; `bitmill run` has it too.

#include "cli/action_clock.hpp"
#include "cli/command.hpp"
#include "cli/quantize_options.hpp"
#include "cli/quantize_report.hpp"
#include "schedule/planner.hpp"

namespace bitmill {

class QuantizeJob {
 public:
  explicit QuantizeJob(QuantizeRequest request) : request_(std::move(request)) {}

  const QuantizeRequest& request() const { return request_; }
  const QuantizeOptions& options() const { return request_.options; }
  const QuantizePlan& plan() const { return plan_; }

  void check(const CheckContext& context);
  // Collective: what the checks of one rank cannot see. run() asks it too.
  void compare_ranks(RunContext& context) const;
  // The mesh in a line, the ranks that idle, and what another recipe would save.
  std::string mesh_text() const;
  // For --dry-run: the plan, as a table or as JSON.
  std::string dry_run_text() const;

  struct Outcome {
    QuantizeResult result;
    RunFacts facts;
  };
  // Collective. Shows progress, the table of blocks and the summary.
  Outcome run(RunContext& context);

 private:
  void choose_mesh(const CheckContext& context);
  void draw(RunContext& context, const ActionClock& observer) const;

  QuantizeRequest request_;
  QuantizePlan plan_;
  Forecast forecast_;
  double parallel_s_ = 0;  // what recipe `parallel` would take on the same ranks
  int ranks_ = 1;
  int threads_ = 1;
};

}  // namespace bitmill

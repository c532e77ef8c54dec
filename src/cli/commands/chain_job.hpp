#pragma once
// The job of `bitmill run`: the parts of a chain, one after the other, then the evaluation of the
// original and of every result. All state is in folders, so that another start, on any number of
// ranks, goes on where this one ended.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/chain_config.hpp"
#include "cli/commands/chain_figures.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/chain_steps.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/eval_job.hpp"

namespace bitmill {

class ChainJob {
 public:
  explicit ChainJob(ChainRequest request);

  // All parts, as far as each can be checked before the parts before it are done, and all of the
  // evaluation. All calls below use the results of this check.
  void check(const CheckContext& context);
  // Collective. For --dry-run: says and prints what each part would do.
  void show_forecast(RunContext& context);
  // Collective. AgreedStop, from any part, when the ranks left at a safe point. Ends by printing
  // the figures.
  void run(RunContext& context);

 private:
  struct Start;

  // `start` outlives the result.
  ChainContext chain_context(Start& start) const;
  // What the watch has to report goes to the chain's folder, which this start holds.
  void report_here(RunContext& context) const;
  void carry_out(Start& start);
  void carry_out(Start& start, ChainStep& step);
  void measure_all(Start& start);
  // Collective. What earlier starts have measured is not measured again.
  ChainRow measure(Start& start, const std::string& name, const std::string& folder);
  // Collective. A hash of what decides the figures of a model, the same on every rank. `weights`: a
  // hash of its tensors.
  std::string subject_of(const Start& start, const SourceModel& model,
                         const std::string& weights) const;
  void print_figures(Start& start);

  const ChainRequest request_;
  std::vector<std::unique_ptr<ChainStep>> steps_;
  EvalJob eval_;
  std::unique_ptr<SourceModel> original_;  // from check() on
  int ranks_ = 1;
  int threads_ = 1;
  LeastResources least_ = {};
};

}  // namespace bitmill

#include "cli/quantize_job.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/activity_observer.hpp"
#include "cli/json_line.hpp"
#include "cli/peak_memory.hpp"
#include "cli/progress.hpp"
#include "cli/quantity.hpp"

namespace bitmill {

void QuantizeJob::check(const CheckContext& context) {
  ranks_ = context.ranks;
  threads_ = context.threads;
  plan_ = plan_quantize(options(), context.files, ranks_, threads_);
}

std::string QuantizeJob::dry_run_text() const {
  return request_.json ? json_line(plan_json(options(), plan_, ranks_, threads_))
                       : describe_plan(options(), plan_, ranks_, threads_);
}

QuantizeJob::Outcome QuantizeJob::run(RunContext& context) {
  const Clock clock = steady_clock();
  const double begin = clock();
  context.console.say(fmt::format("bitmill quantize: {} on {} with {} each, backend {}",
                                  options().model, format_number_of("rank", ranks_),
                                  format_number_of("thread", threads_), options().backend));
  context.console.say(describe_settings(options(), plan_));
  const std::string idle = idle_ranks_note(options(), plan_, ranks_);
  if (!idle.empty()) context.console.say(idle);

  QuantizeProgress progress(
      context.console,
      {plan_.blocks, options().epochs, options().epochs / plan_.turns, plan_.steps_per_epoch},
      clock);
  ActivityObserver observer(context.activity, progress);
  Outcome outcome;
  outcome.result = quantize(options(), context.files, context.comm, context.pool, observer);
  outcome.facts = {clock() - begin, largest_peak_memory(context.comm), ranks_};
  const std::string quality = quality_table(outcome.result.blocks);
  if (!quality.empty()) context.console.say(fmt::format("\n{}", quality));
  context.console.say(
      fmt::format("\n{}", describe_result(options(), outcome.result, outcome.facts)));
  return outcome;
}

}  // namespace bitmill

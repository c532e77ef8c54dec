#include "pipeline/executor.hpp"

#include "base/error.hpp"

namespace bitmill {
namespace {

// Epochs [turn * lag, (turn + 1) * lag) of one block.
void train_turn(const Action& action, int lag, Compute& compute, Observer& observer) {
  const int64_t steps = compute.steps_per_epoch();
  Position at{action.block, action.turn};
  for (at.epoch = action.turn * lag; at.epoch < (action.turn + 1) * lag; ++at.epoch) {
    for (at.step = 0; at.step < steps; ++at.step) {
      compute.train_step(at);
      observer.step_done(at);
    }
    const double loss = compute.finish_epoch(at);
    observer.epoch_done(at, loss);
  }
}

void perform(const Action& action, int lag, Compute& compute, Observer& observer) {
  switch (action.kind) {
    case ActionKind::embed:
      return compute.embed(action.turn);
    case ActionKind::load:
      return compute.load(action.block);
    case ActionKind::teach:
      return compute.teach(action.block, action.turn);
    case ActionKind::train:
      return train_turn(action, lag, compute, observer);
    case ActionKind::pack:
      return compute.pack(action.block, action.turn);
    case ActionKind::forward:
      return compute.forward(action.block, action.turn);
    case ActionKind::drop:
      return compute.drop(action.block);
  }
}

}  // namespace

void execute(const Plan& plan, Compute& compute, Observer& observer) {
  const std::string fault = find_fault(plan);
  BITMILL_CHECK(fault.empty(), UsageError, "the plan cannot be carried out: " + fault);
  for (const Action& action : plan.actions) {
    observer.action_begins(action);
    perform(action, plan.lag, compute, observer);
    observer.action_done(action);
  }
}

}  // namespace bitmill

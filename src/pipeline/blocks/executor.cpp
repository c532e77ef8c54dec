#include "pipeline/blocks/executor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/pause.hpp"
#include "base/stopwatch.hpp"

namespace bitmill {
namespace {

std::string took(double step_seconds, double save_seconds) {
  return fmt::format("the step took {:.3f} s, writing the state {:.3f} s", step_seconds,
                     save_seconds);
}

class Executor {
 public:
  Executor(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
           StopControl& stop, Observer& observer)
      : plan_(plan),
        actions_(plan.stages[static_cast<size_t>(stage)]),
        remaining_(plan, done),
        manners_(remaining_.of_stage(stage)),
        done_(done),
        compute_(compute),
        stop_(stop),
        observer_(observer) {}

  void run() {
    if (std::ranges::any_of(done_, [](const BlockDone& one) { return one != BlockDone{}; })) {
      observer_.resumed(done_);
    }
    announce_receive(0);
    for (size_t i = 0; i < actions_.size(); ++i) {
      const bool replayed = manners_[i] == Manner::replay;
      if (manners_[i] == Manner::skip) continue;
      if (replayed && actions_[i].kind == ActionKind::train) continue;
      if (leave_before(actions_[i])) throw_stop("between two actions; nothing was under way");
      observer_.action_begins(actions_[i]);
      if (replayed) {
        replay(actions_[i]);
      } else {
        perform(actions_[i]);
      }
      if (actions_[i].kind == ActionKind::teach) turn_ = actions_[i].turn;
      if (actions_[i].kind == ActionKind::receive) announce_receive(i + 1);
      observer_.action_done(actions_[i]);
    }
    if (stop_.finish_or_stop([this] { compute_.all_sent(); })) {
      throw_stop("after the last action of this stage");
    }
    stop_.settle();
    // Everybody has taken what we sent: only our end of it is still to be closed.
    for (Pause pause; !compute_.all_sent();) pause();
  }

 private:
  // The first one from action `from` on.
  void announce_receive(size_t from) {
    for (size_t i = from; i < actions_.size(); ++i) {
      if (actions_[i].kind != ActionKind::receive || manners_[i] == Manner::skip) continue;
      return compute_.expect(actions_[i].turn);
    }
  }

  // Another stage may keep us waiting; it is never waited for elsewhere.
  bool leave_before(const Action& action) {
    switch (action.kind) {
      case ActionKind::receive:
        return stop_.wait_or_stop([&] { return compute_.has_arrived(action.block, action.turn); });
      case ActionKind::send:
        return stop_.wait_or_stop([&] { return compute_.has_room(); });
      default:
        return stop_.stop_here();
    }
  }

  // Of the turn that the earlier start was in, if this is it.
  BlockDone saved_state(const Action& action) const {
    const BlockDone& done = done_[static_cast<size_t>(action.block)];
    return done.turns == action.turn ? done : BlockDone{};
  }

  bool is_read(const Action& action) const {
    return action.block + 1 < plan_.blocks &&
           remaining_.visit(action.block + 1, action.turn) != Manner::skip;
  }

  void perform(const Action& action) {
    switch (action.kind) {
      case ActionKind::embed:
        return compute_.embed(action.turn);
      case ActionKind::receive:
        return compute_.receive(action.block, action.turn);
      case ActionKind::load:
        return compute_.load(action.block);
      case ActionKind::teach:
        return compute_.teach(action.block, action.turn,
                              action.turn > 0 || saved_state(action).steps > 0);
      case ActionKind::train:
        return train(action);
      case ActionKind::pack:
        return compute_.pack(action.block, action.turn);
      case ActionKind::forward:
        return compute_.forward(action.block, action.turn, is_read(action));
      case ActionKind::send:
        return compute_.send(action.block, action.turn);
      case ActionKind::drop:
        return compute_.drop(action.block, remaining_.comes_back(action.block, turn_));
    }
  }

  void replay(const Action& action) {
    switch (action.kind) {
      case ActionKind::teach:
        return compute_.pass(action.block, action.turn);
      case ActionKind::pack:
        return compute_.reload(action.block, action.turn);
      default:
        return perform(action);
    }
  }

  // Epochs [turn * lag, (turn + 1) * lag) of one block, from where its saved state stands.
  void train(const Action& action) {
    const int64_t steps = compute_.steps_per_epoch();
    const BlockDone saved = saved_state(action);
    Position at{action.block, action.turn, action.turn * plan_.lag, 0};
    if (saved.steps > at.epoch * steps) {
      at.epoch = saved.epochs;
      at.step = saved.steps - saved.epochs * steps;
    }
    for (; at.epoch < (action.turn + 1) * plan_.lag; ++at.epoch, at.step = 0)
      train_epoch(at, steps);
  }

  void train_epoch(Position& at, int64_t steps) {
    double step_seconds = 0;
    for (; at.step < steps; ++at.step) {
      // Not before the first step: an epoch that has not begun was saved with the one before it.
      if (step_seconds > 0 && stop_.stop_here()) leave_epoch(at, steps, step_seconds);
      const Stopwatch watch;
      compute_.train_step(at);
      step_seconds = watch.seconds();
      stop_.step_took(step_seconds);
      observer_.step_done(at);
    }
    const double loss = compute_.finish_epoch(at);
    observer_.epoch_done(at, loss);
    const double save_seconds = save({at.block, at.epoch + 1, (at.epoch + 1) * steps});
    // Packing follows the last epoch of a turn anyway.
    if (at.epoch + 1 < (at.turn + 1) * plan_.lag && stop_.stop_here()) {
      throw_stop(fmt::format("after epoch {} of block {}: {}", at.epoch, at.block,
                             took(step_seconds, save_seconds)));
    }
  }

  [[noreturn]] void leave_epoch(const Position& at, int64_t steps, double step_seconds) {
    const double save_seconds = save({at.block, at.epoch, at.epoch * steps + at.step});
    throw_stop(fmt::format("after step {} of epoch {} of block {}: {}", at.step, at.epoch, at.block,
                           took(step_seconds, save_seconds)));
  }

  double save(const Progress& done) {
    const Stopwatch watch;
    compute_.save(done);
    const double seconds = watch.seconds();
    stop_.save_took(seconds);
    return seconds;
  }

  [[noreturn]] void throw_stop(const std::string& where) {
    stop_.settle();
    compute_.leave_streams();
    throw AgreedStop(
        fmt::format("{}: stopped {}. Run the same command again to go on", stop_.reason(), where));
  }

  const Plan& plan_;
  const std::vector<Action>& actions_;  // of this stage
  const Remaining remaining_;
  const std::vector<Manner> manners_;  // of actions_
  const std::vector<BlockDone>& done_;
  int turn_ = -1;  // of the visit under way
  Compute& compute_;
  StopControl& stop_;
  Observer& observer_;
};

}  // namespace

void execute(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
             StopControl& stop, Observer& observer) {
  const std::string fault = find_fault(plan);
  BITMILL_CHECK(fault.empty(), UsageError, "the plan cannot be carried out: " + fault);
  Executor(plan, stage, done, compute, stop, observer).run();
}

}  // namespace bitmill

#include "pipeline/blocks/executor.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "pipeline/training/step_loop.hpp"

namespace bitmill {
namespace {

// One turn of a block, for train_steps().
class TrainedTurn final : public Trained {
 public:
  TrainedTurn(const Action& action, int lag, Compute& compute, Observer& observer)
      : block_(action.block),
        turn_(action.turn),
        lag_(lag),
        compute_(compute),
        observer_(observer) {}

  // The turn trains epochs [turn * lag, (turn + 1) * lag) of the block. Where the saved state is
  // inside of them, training goes on from there.
  StepsDone begin(const BlockDone& saved) const {
    const int first = turn_ * lag_;
    const StepsDone earlier_turns{first, first * steps_per_epoch()};
    return saved.steps > earlier_turns.steps ? StepsDone{saved.epochs, saved.steps} : earlier_turns;
  }

  std::string name() const override { return fmt::format("block {}", block_); }
  int64_t steps_per_epoch() const override { return compute_.steps_per_epoch(); }
  // The pack action follows the last epoch.
  bool wants_epoch(int epoch) override { return epoch < (turn_ + 1) * lag_; }

  bool take_step(int epoch, int64_t step) override {
    const Position at{block_, turn_, epoch, step};
    compute_.train_step(at);
    observer_.step_done(at);
    return true;
  }

  void finish_epoch(int epoch) override { loss_ = compute_.finish_epoch(end_of(epoch)); }

  void save_epoch(const StepsDone& done, double seconds) override {
    const Position at = end_of(done.epochs - 1);
    compute_.save_epoch(progress(done), {at, loss_, seconds});
    observer_.epoch_done(at, loss_);
  }
  void save_steps(const StepsDone& done) override { compute_.save_steps(progress(done)); }
  void settle() override { compute_.settle(); }
  double seconds_to_leave() const override { return compute_.seconds_to_leave(); }

 private:
  Progress progress(const StepsDone& done) const { return {block_, done.epochs, done.steps}; }
  Position end_of(int epoch) const { return {block_, turn_, epoch, steps_per_epoch()}; }

  const int block_, turn_, lag_;
  Compute& compute_;
  Observer& observer_;
  double loss_ = 0;  // of the last finished epoch
};

class Executor {
 public:
  Executor(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
           StopControl& stop, Observer& observer, const KeptStreams& kept)
      : plan_(plan),
        actions_(plan.stages[static_cast<size_t>(stage)]),
        remaining_(plan, done, kept),
        manners_(remaining_.of_stage(stage)),
        done_(done),
        compute_(compute),
        stop_(stop),
        observer_(observer) {}

  void run() {
    try {
      carry_out();
    } catch (const AgreedStop&) {
      compute_.leave_streams([this] { announce_receive(announced_ + 1); });
      compute_.keep_streams();
      throw;
    }
  }

 private:
  void carry_out() {
    if (std::ranges::any_of(done_, [](const BlockDone& one) { return one != BlockDone{}; })) {
      observer_.resumed(done_);
    }
    announce_receive(0);
    for (size_t i = 0; i < actions_.size(); ++i) {
      const bool replayed = manners_[i] == Manner::replay;
      if (manners_[i] == Manner::skip) continue;
      if (replayed && actions_[i].kind == ActionKind::train) continue;
      if (may_leave_before(actions_[i]) && leave_before(actions_[i])) {
        leave("between two actions; nothing was under way");
      }
      observer_.action_begins(actions_[i]);
      if (actions_[i].kind == ActionKind::teach) take_kept(actions_[i]);
      if (replayed) {
        replay(actions_[i]);
      } else {
        perform(actions_[i]);
      }
      if (actions_[i].kind == ActionKind::teach) turn_ = actions_[i].turn;
      if (actions_[i].kind == ActionKind::receive) announce_receive(i + 1);
      observer_.action_done(actions_[i]);
    }
    // A stage that says it has finished has committed its work: others may rely on its files.
    compute_.settle();
    if (stop_.finish_or_stop([this] { compute_.all_sent(); })) {
      leave("after the last action of this stage");
    }
    // Every stage has received what this one sent; our side still has to see that its sends are
    // done.
    stop_.wait_until([this] { return compute_.all_sent(); });
  }

  [[noreturn]] void leave(const std::string& where) {
    compute_.settle();
    stop_.leave(where);
  }

  // Announces the first receive at or after action `from`.
  void announce_receive(size_t from) {
    for (size_t i = from; i < actions_.size(); ++i) {
      if (actions_[i].kind != ActionKind::receive || manners_[i] == Manner::skip) continue;
      announced_ = i;
      return compute_.expect(actions_[i].block, actions_[i].turn);
    }
  }

  void take_kept(const Action& teach) {
    for (const KeptUse& use : remaining_.uses(teach.block, teach.turn)) compute_.take_kept(use);
  }

  // A block that was made ready for the first time takes one step before the ranks leave. Then its
  // state is saved: neither the work of making it ready is lost, nor the teacher's stream, of which
  // its statistics were taken and which is overwritten.
  bool may_leave_before(const Action& action) const {
    return action.kind != ActionKind::train || action.turn > 0 || saved_state(action).steps > 0;
  }

  // True when the ranks leave here. Only receive and send wait for another stage, and only here.
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

  // The saved state of the block, if it is of this action's turn; else empty.
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

  void train(const Action& action) {
    TrainedTurn turn(action, plan_.lag, compute_, observer_);
    train_steps(turn, turn.begin(saved_state(action)), stop_);
  }

  const Plan& plan_;
  const std::vector<Action>& actions_;  // of this stage
  const Remaining remaining_;
  const std::vector<Manner> manners_;  // of actions_
  const std::vector<BlockDone>& done_;
  int turn_ = -1;         // of the visit under way
  size_t announced_ = 0;  // the receive that is expected
  Compute& compute_;
  StopControl& stop_;
  Observer& observer_;
};

}  // namespace

void execute(const Plan& plan, int stage, const std::vector<BlockDone>& done, Compute& compute,
             StopControl& stop, Observer& observer, const KeptStreams& kept) {
  const std::string fault = find_fault(plan);
  BITMILL_CHECK(fault.empty(), UsageError, "the plan cannot be carried out: " + fault);
  Executor(plan, stage, done, compute, stop, observer, kept).run();
}

}  // namespace bitmill

#include "pipeline/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "pipeline/hash_compute.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_chain::HashCompute;
using testing_chain::HashStore;

class SilentObserver final : public Observer {};

// One start. With `leave_at`, somebody asks for a stop when the ranks agree for that many-th time.
void carry_out(const Plan& plan, HashCompute& compute, Observer& observer, int leave_at = -1) {
  const auto comm = self_communicator();
  StopWishes wishes;
  wishes.asked = [left = leave_at]() mutable { return left-- == 0 ? "SIGTERM" : ""; };
  StopControl stop(*comm, wishes);
  execute(plan, compute.store.done(plan), compute, stop, observer);
}

class RecordingObserver final : public Observer {
 public:
  void action_begins(const Action& action) override { heard.push_back("+" + to_token(action)); }
  void step_done(const Position& at) override { steps.push_back(at); }
  void epoch_done(const Position& at, double loss) override {
    epochs.push_back(at);
    losses.push_back(loss);
  }
  void action_done(const Action& action) override { heard.push_back("-" + to_token(action)); }

  std::vector<std::string> heard;
  std::vector<Position> steps, epochs;
  std::vector<double> losses;
};

std::map<std::pair<int, int>, std::string> packed_by_sweeps(int blocks, int epochs, int lag,
                                                            int64_t steps_per_epoch) {
  HashCompute compute(steps_per_epoch);
  SilentObserver observer;
  carry_out(plan_sweeps(blocks, epochs, lag), compute, observer);
  return compute.packed();
}

TEST(Executor, CallsOfASmallPlanInOrder) {
  HashCompute compute(2);
  SilentObserver observer;
  carry_out(plan_sweeps(2, 2, 1), compute, observer);
  EXPECT_THAT(compute.calls(),
              ElementsAre("embed 0",                                                           //
                          "load 0", "teach 0 0", "train 0 turn 0 epoch 0 step 0",              //
                          "train 0 turn 0 epoch 0 step 1", "finish 0 turn 0 epoch 0 steps 2",  //
                          "pack 0 0", "forward 0 0", "drop 0",                                 //
                          "load 1", "teach 1 0", "train 1 turn 0 epoch 0 step 0",              //
                          "train 1 turn 0 epoch 0 step 1", "finish 1 turn 0 epoch 0 steps 2",  //
                          "pack 1 0", "drop 1",                                                //
                          "embed 1",                                                           //
                          "load 0", "teach 0 1", "train 0 turn 1 epoch 1 step 0",              //
                          "train 0 turn 1 epoch 1 step 1", "finish 0 turn 1 epoch 1 steps 2",  //
                          "pack 0 1", "forward 0 1", "drop 0",                                 //
                          "load 1", "teach 1 1", "train 1 turn 1 epoch 1 step 0",              //
                          "train 1 turn 1 epoch 1 step 1", "finish 1 turn 1 epoch 1 steps 2",  //
                          "pack 1 1", "forward 1 1", "drop 1"));
}

TEST(Executor, TurnTrainsItsEpochsAndEveryStep) {
  HashCompute compute(3);
  RecordingObserver observer;
  carry_out(plan_sweeps(1, 6, 2), compute, observer);
  std::vector<Position> expected_steps, expected_epochs;
  for (int epoch = 0; epoch < 6; ++epoch) {
    for (int64_t step = 0; step < 3; ++step) expected_steps.push_back({0, epoch / 2, epoch, step});
    expected_epochs.push_back({0, epoch / 2, epoch, 3});
  }
  EXPECT_EQ(observer.steps, expected_steps);
  EXPECT_EQ(observer.epochs, expected_epochs);
}

TEST(Executor, ObserverHearsEveryActionAndEveryLoss) {
  HashCompute compute(1);
  RecordingObserver observer;
  carry_out(plan_sweeps(1, 2, 2), compute, observer);
  EXPECT_THAT(observer.heard,
              ElementsAre("+E0", "-E0", "+L0", "-L0", "+T0.0", "-T0.0", "+O0.0", "-O0.0", "+P0.0",
                          "-P0.0", "+F0.0", "-F0.0", "+D0", "-D0"));
  ASSERT_EQ(observer.losses.size(), 2U);
  EXPECT_NE(observer.losses[0], observer.losses[1]);
}

TEST(Executor, FaultyPlanIsRefusedBeforeAnyWork) {
  Plan plan = plan_sweeps(2, 2, 1);
  plan.actions.pop_back();
  HashCompute compute(1);
  SilentObserver observer;
  try {
    carry_out(plan, compute, observer);
    FAIL() << "a plan that never drops its last block was carried out";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("block 1 never leaves memory"));
  }
  EXPECT_TRUE(compute.calls().empty());
}

TEST(Executor, FailureOfAnActionPassesThrough) {
  struct Failing final : Observer {
    void step_done(const Position& at) override {
      if (at.block == 1) throw CommError("rank 3 is gone");
    }
  } observer;
  HashCompute compute(1);
  EXPECT_THROW(carry_out(plan_sweeps(3, 1, 1), compute, observer), CommError);
  EXPECT_EQ(compute.calls().back(), "train 1 turn 0 epoch 0 step 0");
}

// Every pair of safe points: stopped there, then there, then left to end.
TEST(Executor, StoppedAnywhereItEndsWithTheSameHashes) {
  SilentObserver observer;
  for (const int lag : {4, 2, 1}) {
    const Plan plan = plan_sweeps(2, 4, lag);
    HashCompute whole(3);
    carry_out(plan, whole, observer);
    for (int leave_at = 0;; ++leave_at) {
      HashStore store;
      int stops = 0;
      const auto start = [&](int at) {
        HashCompute compute(3, store);
        try {
          carry_out(plan, compute, observer, at);
        } catch (const AgreedStop& stop) {
          EXPECT_THAT(stop.what(), HasSubstr("SIGTERM"));
          ++stops;
        }
        store = compute.store;
      };
      start(leave_at);
      if (stops == 0) break;
      start(leave_at / 2);
      start(-1);
      EXPECT_EQ(store.packed, whole.store.packed) << "lag " << lag << ", left at " << leave_at;
    }
  }
}

TEST(Executor, FinishedBlocksAreReplayedAndLaterOnesOfAFinishedTurnLeftAlone) {
  SilentObserver observer;
  const Plan plan = plan_sweeps(3, 1, 1);
  HashCompute first(1);
  carry_out(plan, first, observer);
  HashStore store = first.store;
  store.packed.erase({1, 0});
  store.live.erase(1);
  HashCompute second(1, store);
  carry_out(plan, second, observer);
  EXPECT_THAT(second.calls(),
              ElementsAre("embed 0", "load 0", "pass 0 0", "reload 0 0", "forward 0 0", "drop 0",
                          "load 1", "teach 1 0", "train 1 turn 0 epoch 0 step 0",
                          "finish 1 turn 0 epoch 0 steps 1", "pack 1 0", "forward 1 0", "drop 1"));
  EXPECT_EQ(second.store.packed, first.store.packed);
}

TEST(Executor, ResultDependsOnLagAndSteps) {
  const auto last = [](int epochs, int lag, int64_t steps) {
    return packed_by_sweeps(3, epochs, lag, steps).at({2, epochs / lag - 1});
  };
  EXPECT_EQ(last(4, 4, 2), last(4, 4, 2));
  EXPECT_NE(last(4, 4, 2), last(4, 2, 2));
  EXPECT_NE(last(4, 4, 2), last(4, 4, 3));
}

// Each block does all its turns as soon as its streams are there: the wavefront's order, on one
// rank. Needs no plan; what is tested is that the chain tells dependence from order.
TEST(HashChain, WalkOrderDoesNotChangeWhatIsPacked) {
  const int blocks = 3, epochs = 4, lag = 2, steps = 2;
  HashCompute compute(steps);
  for (int turn = 0; turn < epochs / lag; ++turn) compute.embed(turn);
  for (int block = 0; block < blocks; ++block) {
    for (int turn = 0; turn < epochs / lag; ++turn) {
      compute.load(block);
      compute.teach(block, turn, turn > 0);
      for (int epoch = turn * lag; epoch < (turn + 1) * lag; ++epoch) {
        for (int step = 0; step < steps; ++step) compute.train_step({block, turn, epoch, step});
        compute.finish_epoch({block, turn, epoch, steps});
        compute.save({block, epoch + 1, (epoch + 1) * steps});
      }
      compute.pack(block, turn);
      compute.forward(block, turn);
      compute.drop(block);
    }
  }
  EXPECT_EQ(compute.packed(), packed_by_sweeps(blocks, epochs, lag, steps));
}

TEST(HashChain, MissingInputIsAnError) {
  HashCompute compute(1);
  EXPECT_THROW(compute.drop(0), std::logic_error);
  compute.load(0);
  EXPECT_THROW(compute.load(0), std::logic_error);
  EXPECT_THROW(compute.teach(0, 0, false), std::logic_error);
  compute.embed(0);
  EXPECT_THROW(compute.teach(0, 1, true), std::logic_error);
  EXPECT_NO_THROW(compute.teach(0, 0, false));
}

}  // namespace
}  // namespace bitmill

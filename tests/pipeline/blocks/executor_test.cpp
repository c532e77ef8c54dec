#include "pipeline/blocks/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/stopwatch.hpp"
#include "comm/self_communicator.hpp"
#include "pipeline/hash_compute.hpp"
#include "pipeline/job/observer.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_chain::HashCompute;
using testing_chain::HashStore;

class SilentObserver final : public Observer {};

Plan sweeps(int blocks, int epochs, int lag) {
  return make_plan(blocks, epochs, lag, 1, Walk::sweep);
}

// One start. With `leave_at`, somebody asks for a stop when the ranks agree for that many-th time.
void carry_out(const Plan& plan, const HashStore& store, HashCompute& compute, Observer& observer,
               int leave_at = -1) {
  const auto comm = self_communicator();
  StopWishes wishes;
  wishes.asked = [left = leave_at]() mutable { return left-- == 0 ? "SIGTERM" : ""; };
  StopControl stop(*comm, wishes);
  execute(plan, 0, store.done(plan), compute, stop, observer, store.kept_for(plan));
}

std::vector<std::string> without_saves(std::vector<std::string> calls) {
  std::erase_if(calls, [](const std::string& call) { return call.starts_with("save"); });
  return calls;
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
  const Plan plan = sweeps(blocks, epochs, lag);
  HashStore store;
  HashCompute compute(plan, steps_per_epoch, store);
  SilentObserver observer;
  carry_out(plan, store, compute, observer);
  EXPECT_EQ(compute.left_over(), 0U);
  return store.packed;
}

TEST(Executor, CallsOfASmallPlanInOrder) {
  const Plan plan = sweeps(2, 2, 1);
  HashStore store;
  HashCompute compute(plan, 2, store);
  SilentObserver observer;
  carry_out(plan, store, compute, observer);
  EXPECT_THAT(without_saves(compute.calls()),
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
  const Plan plan = sweeps(1, 6, 2);
  HashStore store;
  HashCompute compute(plan, 3, store);
  RecordingObserver observer;
  carry_out(plan, store, compute, observer);
  std::vector<Position> expected_steps, expected_epochs;
  for (int epoch = 0; epoch < 6; ++epoch) {
    for (int64_t step = 0; step < 3; ++step) expected_steps.push_back({0, epoch / 2, epoch, step});
    expected_epochs.push_back({0, epoch / 2, epoch, 3});
  }
  EXPECT_EQ(observer.steps, expected_steps);
  EXPECT_EQ(observer.epochs, expected_epochs);
}

TEST(Executor, ObserverHearsEveryActionAndEveryLoss) {
  const Plan plan = sweeps(1, 2, 2);
  HashStore store;
  HashCompute compute(plan, 1, store);
  RecordingObserver observer;
  carry_out(plan, store, compute, observer);
  EXPECT_THAT(observer.heard,
              ElementsAre("+E0", "-E0", "+L0", "-L0", "+T0.0", "-T0.0", "+O0.0", "-O0.0", "+P0.0",
                          "-P0.0", "+F0.0", "-F0.0", "+D0", "-D0"));
  ASSERT_EQ(observer.losses.size(), 2U);
  EXPECT_NE(observer.losses[0], observer.losses[1]);
}

TEST(Executor, FaultyPlanIsRefusedBeforeAnyWork) {
  Plan plan = sweeps(2, 2, 1);
  plan.stages[0].pop_back();
  HashStore store;
  HashCompute compute(plan, 1, store);
  SilentObserver observer;
  try {
    carry_out(plan, store, compute, observer);
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
  const Plan plan = sweeps(3, 1, 1);
  HashStore store;
  HashCompute compute(plan, 1, store);
  EXPECT_THROW(carry_out(plan, store, compute, observer), CommError);
  EXPECT_EQ(compute.calls().back(), "train 1 turn 0 epoch 0 step 0");
}

// Every pair of safe points: stopped there, then there, then left to end.
TEST(Executor, StoppedAnywhereItEndsWithTheSameHashes) {
  SilentObserver observer;
  for (const int lag : {4, 2, 1}) {
    const Plan plan = sweeps(2, 4, lag);
    const auto whole = packed_by_sweeps(2, 4, lag, 3);
    for (int leave_at = 0;; ++leave_at) {
      HashStore store;
      int stops = 0;
      const auto start = [&](int at) {
        HashCompute compute(plan, 3, store);
        try {
          carry_out(plan, store, compute, observer, at);
        } catch (const AgreedStop& stop) {
          EXPECT_THAT(stop.what(), HasSubstr("SIGTERM"));
          ++stops;
        }
      };
      start(leave_at);
      if (stops == 0) break;
      start(leave_at / 2);
      start(-1);
      EXPECT_EQ(store.packed, whole) << "lag " << lag << ", left at " << leave_at;
    }
  }
}

std::vector<std::string> replayed(const HashCompute& compute) {
  std::vector<std::string> calls = compute.calls();
  std::erase_if(calls, [](const std::string& call) { return !call.starts_with("pass"); });
  return calls;
}

// A stop in the middle of block 2, and one before it is loaded.
TEST(Executor, FromKeptStreamsNoPackedBlockIsReplayed) {
  SilentObserver observer;
  const Plan plan = sweeps(4, 2, 2);
  const auto whole = packed_by_sweeps(4, 2, 2, 1);
  for (const int leave_at : {15, 13}) {
    for (const bool keeps : {true, false}) {
      HashStore store;
      HashCompute first(plan, 1, store), second(plan, 1, store);
      if (!keeps) first.never_keep_streams();
      EXPECT_THROW(carry_out(plan, store, first, observer, leave_at), AgreedStop);
      carry_out(plan, store, second, observer);
      EXPECT_EQ(store.packed, whole);
      EXPECT_EQ(replayed(second).size(), keeps ? 0U : 2U) << "left at " << leave_at;
    }
  }
}

// A later kill, too: only what came after the stop is replayed.
TEST(Executor, KeptStreamsServeEveryLaterStartOfTheirTurn) {
  SilentObserver observer;
  const Plan plan = sweeps(6, 2, 2);
  const auto whole = packed_by_sweeps(6, 2, 2, 1);
  HashStore store;
  HashCompute first(plan, 1, store), second(plan, 1, store), third(plan, 1, store);
  EXPECT_THROW(carry_out(plan, store, first, observer, 14), AgreedStop);
  second.die_after(40);
  EXPECT_THROW(carry_out(plan, store, second, observer), CommError);
  ASSERT_TRUE(store.packed.contains({3, 0}));
  carry_out(plan, store, third, observer);
  EXPECT_EQ(store.packed, whole);
  EXPECT_EQ(replayed(third).front(), "pass 2 0");
}

// Else the work of making it ready would be lost, and the teacher's stream with it.
TEST(Executor, ABlockThatWasMadeReadyTakesAStepBeforeItIsLeft) {
  SilentObserver observer;
  const Plan plan = sweeps(2, 2, 2);
  for (int leave_at = 1; leave_at < 10; ++leave_at) {
    HashStore store;
    HashCompute compute(plan, 3, store);
    EXPECT_THROW(carry_out(plan, store, compute, observer, leave_at), AgreedStop);
    EXPECT_FALSE(compute.calls().back().starts_with("teach")) << "left at " << leave_at;
  }
}

TEST(Executor, FinishedBlocksAreReplayedAndLaterOnesOfAFinishedTurnLeftAlone) {
  SilentObserver observer;
  const Plan plan = sweeps(3, 1, 1);
  const auto whole = packed_by_sweeps(3, 1, 1, 1);
  HashStore store;
  store.packed = whole;
  store.packed.erase({1, 0});
  HashCompute second(plan, 1, store);
  carry_out(plan, store, second, observer);
  EXPECT_THAT(without_saves(second.calls()),
              ElementsAre("embed 0", "load 0", "pass 0 0", "reload 0 0", "forward 0 0", "drop 0",
                          "load 1", "teach 1 0", "train 1 turn 0 epoch 0 step 0",
                          "finish 1 turn 0 epoch 0 steps 1", "pack 1 0", "forward 1 0", "drop 1"));
  EXPECT_EQ(store.packed, whole);
}

TEST(Executor, SleepsWhileWhatItSentIsOnItsWay) {
  const Plan plan = sweeps(1, 1, 1);
  HashStore store;
  HashCompute compute(plan, 1, store);
  compute.stay_busy(50);
  SilentObserver observer;
  const Stopwatch watch;
  carry_out(plan, store, compute, observer);
  EXPECT_GT(watch.seconds(), 0.02);
}

TEST(Executor, ResultDependsOnLagAndSteps) {
  const auto last = [](int epochs, int lag, int64_t steps) {
    return packed_by_sweeps(3, epochs, lag, steps).at({2, epochs / lag - 1});
  };
  EXPECT_EQ(last(4, 4, 2), last(4, 4, 2));
  EXPECT_NE(last(4, 4, 2), last(4, 2, 2));
  EXPECT_NE(last(4, 4, 2), last(4, 4, 3));
}

TEST(HashChain, MissingInputIsAnError) {
  const Plan plan = make_plan(2, 2, 1, 1, Walk::wavefront);
  HashStore store;
  HashCompute compute(plan, 1, store);
  EXPECT_THROW(compute.drop(0, false), std::logic_error);
  compute.load(0);
  EXPECT_THROW(compute.load(0), std::logic_error);
  EXPECT_THROW(compute.teach(0, 0, false), std::logic_error);
  compute.embed(0);
  EXPECT_THROW(compute.teach(0, 1, true), std::logic_error);
  EXPECT_NO_THROW(compute.teach(0, 0, false));
}

// A plan that differs from a good one in one place is either a fault or does the same work.
void expect_fault_or_same_work(const Plan& mutant,
                               const std::map<std::pair<int, int>, std::string>& whole) {
  if (!find_fault(mutant).empty()) return;
  HashStore store;
  HashCompute compute(mutant, 1, store);
  SilentObserver observer;
  ASSERT_NO_THROW(carry_out(mutant, store, compute, observer)) << draw(mutant);
  ASSERT_EQ(store.packed, whole) << draw(mutant);
}

class MutatedPlan : public testing::TestWithParam<Plan> {
 protected:
  std::map<std::pair<int, int>, std::string> whole_ =
      packed_by_sweeps(GetParam().blocks, GetParam().epochs, GetParam().lag, 1);
};

TEST_P(MutatedPlan, DroppingAnActionIsAFaultOrHarmless) {
  for (size_t i = 0; i < GetParam().stages[0].size(); ++i) {
    Plan mutant = GetParam();
    mutant.stages[0].erase(mutant.stages[0].begin() + static_cast<ptrdiff_t>(i));
    EXPECT_NE(find_fault(mutant), "") << draw(mutant);
  }
}

TEST_P(MutatedPlan, RepeatingAnActionAnywhereIsAFaultOrHarmless) {
  const auto& actions = GetParam().stages[0];
  for (const Action& action : actions) {
    for (size_t at = 0; at <= actions.size(); ++at) {
      Plan mutant = GetParam();
      mutant.stages[0].insert(mutant.stages[0].begin() + static_cast<ptrdiff_t>(at), action);
      expect_fault_or_same_work(mutant, whole_);
    }
  }
}

TEST_P(MutatedPlan, SwappingTwoActionsIsAFaultOrHarmless) {
  const size_t count = GetParam().stages[0].size();
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = i + 1; j < count; ++j) {
      Plan mutant = GetParam();
      std::swap(mutant.stages[0][i], mutant.stages[0][j]);
      expect_fault_or_same_work(mutant, whole_);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, MutatedPlan,
                         testing::Values(sweeps(1, 1, 1), sweeps(1, 4, 1), sweeps(3, 2, 2),
                                         sweeps(3, 4, 2), sweeps(4, 3, 1),
                                         make_plan(3, 3, 1, 1, Walk::wavefront)));

}  // namespace
}  // namespace bitmill

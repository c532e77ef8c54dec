// The loop over steps by itself: what is trained here is a list of the steps that were taken.

#include "pipeline/training/step_loop.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "comm/self_communicator.hpp"
#include "comm/thread_communicator.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;
using Words = std::vector<std::string>;

// What survives a start.
struct Saved {
  StepsDone done;
  Words taken;  // "epoch.step" of every step
  int saves = 0;

  bool operator==(const Saved&) const = default;
};

class ListOfSteps final : public Trained {
 public:
  ListOfSteps(Saved& saved, int epochs, int64_t steps)
      : saved_(saved), epochs_(epochs), steps_(steps), taken_(saved.taken) {}

  std::string name() const override { return "the list"; }
  int64_t steps_per_epoch() const override { return steps_; }
  bool wants_epoch(int epoch) override { return epoch < epochs_; }
  bool take_step(int epoch, int64_t step) override {
    if (epoch == fails_in) throw CommError("rank 3 is gone");
    std::this_thread::sleep_for(step_takes);
    taken_.push_back(fmt::format("{}.{}", epoch, step));
    calls.push_back("step " + taken_.back());
    return taken_.back() != last_of_its_epoch;
  }
  void finish_epoch(int epoch) override {
    std::this_thread::sleep_for(finish_takes);
    calls.push_back(fmt::format("finish {}", epoch));
  }
  // The state is under way until the next save or settle(): a start that ends before loses it.
  void save_epoch(const StepsDone& done, double took) override {
    commit();
    std::this_thread::sleep_for(save_takes);
    calls.push_back(fmt::format("save {} {}", done.epochs, done.steps));
    under_way_ = Saved{done, taken_, saved_.saves + 1};
    seconds = took;
  }
  void save_steps(const StepsDone& done) override {
    commit();
    std::this_thread::sleep_for(save_takes);
    calls.push_back(fmt::format("save {} {}, wait", done.epochs, done.steps));
    saved_ = {done, taken_, saved_.saves + 1};
  }
  void settle() override {
    calls.emplace_back("settle");
    commit();
  }
  double seconds_to_leave() const override { return 2 * commit_takes; }

  Words calls;
  double seconds = 0;  // of the last epoch
  std::string last_of_its_epoch;
  int fails_in = -1;
  milliseconds step_takes{0}, finish_takes{0}, save_takes{0};
  double commit_takes = 0;  // seconds

 private:
  void commit() {
    if (under_way_) saved_ = *under_way_;
    under_way_.reset();
  }

  Saved& saved_;
  const int epochs_;
  const int64_t steps_;
  Words taken_;
  std::optional<Saved> under_way_;
};

// Wishes to stop at question `at`, counted from 0; never where that is -1.
struct Wish {
  int at = -1;
  int questions = 0;

  StopWishes wishes() {
    StopWishes result;
    result.asked = [this] { return questions++ == at ? "SIGTERM" : ""; };
    return result;
  }
};

// One start on one rank, and what it was stopped with.
std::string start(ListOfSteps& trained, const Saved& saved, const StopWishes& wishes) {
  const auto comm = self_communicator();
  StopControl stop(*comm, wishes);
  try {
    train_steps(trained, saved.done, stop);
  } catch (const AgreedStop& agreed) {
    return agreed.what();
  }
  return "";
}

TEST(StepLoop, CallsOfASmallTrainingInOrder) {
  Saved saved;
  ListOfSteps trained(saved, 2, 2);
  Wish none;
  EXPECT_EQ(start(trained, saved, none.wishes()), "");
  EXPECT_THAT(trained.calls, ElementsAre("step 0.0", "step 0.1", "finish 0", "save 1 2",  //
                                         "step 1.0", "step 1.1", "finish 1", "save 2 4"));
}

// Between two steps and between two epochs; neither before the first step nor after the last epoch.
TEST(StepLoop, AsksBetweenStepsAndBetweenEpochs) {
  Saved saved;
  ListOfSteps trained(saved, 3, 4);
  Wish none;
  start(trained, saved, none.wishes());
  EXPECT_EQ(none.questions, 3 * 4 - 1);
}

// Where it is the first save of the start, too.
TEST(StepLoop, LeftAtADeadlineInItsFirstEpochItAdvisesAnotherStart) {
  Saved saved;
  ListOfSteps trained(saved, 2, 3);
  StopWishes past;
  past.deadline = std::chrono::steady_clock::now();
  past.after_deadline = "Ask for another job";
  EXPECT_THAT(start(trained, saved, past), testing::EndsWith("Ask for another job"));
  EXPECT_EQ(saved.done, (StepsDone{0, 1}));
}

TEST(StepLoop, LeftInAnEpochItSavesTheStepsThatAreTaken) {
  Saved saved;
  ListOfSteps trained(saved, 2, 3);
  Wish second{1};
  EXPECT_THAT(
      start(trained, saved, second.wishes()),
      testing::MatchesRegex("SIGTERM: stopped after step 2 of epoch 0 of the list: the step "
                            "took [0-9.]+ s, writing the state [0-9.]+ s\\. Run the same "
                            "command again to go on"));
  EXPECT_THAT(trained.calls, ElementsAre("step 0.0", "step 0.1", "save 0 2, wait"));
  EXPECT_EQ(saved.done, (StepsDone{0, 2}));
}

TEST(StepLoop, LeftBetweenTwoEpochsItHasSavedOnce) {
  Saved saved;
  ListOfSteps trained(saved, 2, 3);
  Wish third{2};
  EXPECT_THAT(start(trained, saved, third.wishes()),
              StartsWith("SIGTERM: stopped after 1 epoch of the list: the step took "));
  EXPECT_EQ(trained.calls.back(), "settle");
  EXPECT_EQ(saved.done, (StepsDone{1, 3}));
  EXPECT_EQ(saved.saves, 1);
}

TEST(StepLoop, GoesOnInTheMiddleOfAnEpochAndTakesAStepBeforeItAsks) {
  Saved saved{{1, 4}, {"0.0", "0.1", "0.2", "1.0"}, 2};
  ListOfSteps trained(saved, 2, 3);
  Wish first{0};
  EXPECT_THAT(start(trained, saved, first.wishes()), HasSubstr("after step 2 of epoch 1"));
  EXPECT_THAT(trained.calls, ElementsAre("step 1.1", "save 1 5, wait"));
}

TEST(StepLoop, ATrainingThatHasEndedIsLeftAlone) {
  Saved saved{{2, 6}, {}, 2};
  ListOfSteps trained(saved, 2, 3);
  Wish first{0};
  EXPECT_EQ(start(trained, saved, first.wishes()), "");
  EXPECT_THAT(trained.calls, IsEmpty());
  EXPECT_EQ(first.questions, 0);
}

TEST(StepLoop, AnEpochThatEndsEarlyIsFinishedAndSavedAsAWholeOne) {
  Saved saved;
  ListOfSteps trained(saved, 2, 3);
  trained.last_of_its_epoch = "1.1";
  Wish none;
  EXPECT_EQ(start(trained, saved, none.wishes()), "");
  EXPECT_THAT(trained.calls, ElementsAre("step 0.0", "step 0.1", "step 0.2", "finish 0", "save 1 3",
                                         "step 1.0", "step 1.1", "finish 1", "save 2 6"));
}

// What was under way is lost, as in a kill: the epoch that was being written and the one that was
// being trained.
TEST(StepLoop, AFailureInAStepPassesThroughAndNothingMoreIsSaved) {
  Saved saved;
  ListOfSteps trained(saved, 4, 3);
  trained.fails_in = 2;
  Wish none;
  EXPECT_THROW(start(trained, saved, none.wishes()), CommError);
  EXPECT_EQ(saved.done, (StepsDone{1, 3}));
}

// Each rank keeps its own list; one of them is asked to stop, at every point, twice.
TEST(StepLoop, StoppedAnywhereEveryRankTakesEveryStepOnce) {
  constexpr int epochs = 3;
  constexpr int64_t steps = 3;
  Saved whole;
  ListOfSteps undisturbed(whole, epochs, steps);
  Wish none;
  start(undisturbed, whole, none.wishes());
  undisturbed.settle();
  for (const int ranks : {1, 2, 3}) {
    for (int at = 0; at < epochs * steps - 1; ++at) {
      std::vector<Saved> saved(static_cast<size_t>(ranks));
      std::vector<int> stops(saved.size()), stops_in_an_epoch(saved.size());
      for (const int leave_at : {at, at / 2, -1}) {
        run_ranks(ranks, [&](Communicator& comm) {
          const auto rank = static_cast<size_t>(comm.rank());
          Wish wish{comm.rank() == at % ranks ? leave_at : -1};
          StopControl stop(comm, wish.wishes());
          ListOfSteps trained(saved[rank], epochs, steps);
          try {
            train_steps(trained, saved[rank].done, stop);
            trained.settle();
          } catch (const AgreedStop& agreed) {
            EXPECT_THAT(agreed.what(), StartsWith("SIGTERM: stopped after "));
            ++stops[rank];
            if (std::string(agreed.what()).find("after step") != std::string::npos) {
              ++stops_in_an_epoch[rank];
            }
          }
        });
        EXPECT_THAT(saved, testing::Each(saved.front())) << ranks << " ranks, stopped at " << at;
      }
      EXPECT_THAT(stops, testing::Each(testing::Ge(1)));
      EXPECT_THAT(stops, testing::Each(stops.front()));
      EXPECT_EQ(saved.front().taken, whole.taken) << ranks << " ranks, stopped at " << at;
      EXPECT_EQ(saved.front().done, whole.done);
      EXPECT_EQ(saved.front().saves, epochs + stops_in_an_epoch.front());
    }
  }
}

// Two times 0.1 s that a state is under way, before the ranks leave and for the state they leave
// with, doubled, and a second.
TEST(StepLoop, ADeadlineLeavesRoomForWhatIsUnderWay) {
  Saved saved;
  ListOfSteps trained(saved, 20, 1);
  trained.step_takes = milliseconds(20);
  trained.commit_takes = 0.1;
  StopWishes wishes;
  wishes.deadline = std::chrono::steady_clock::now() + milliseconds(1550);
  EXPECT_THAT(start(trained, saved, wishes), StartsWith("the time limit: stopped after "));
  EXPECT_LE(saved.done.epochs, 6);
}

TEST(StepLoop, WhatTrainingWaitsForASaveIsPartOfTheNextEpochsTime) {
  Saved saved;
  ListOfSteps trained(saved, 2, 1);
  trained.save_takes = milliseconds(50);
  Wish none;
  start(trained, saved, none.wishes());
  EXPECT_GE(trained.seconds, 0.05);
}

TEST(StepLoop, AnEpochThatEarlierStartsBeganHasTheSecondsOfAllItsSteps) {
  Saved saved{{0, 3}, {"0.0", "0.1", "0.2"}, 1};
  ListOfSteps trained(saved, 1, 4);
  trained.step_takes = milliseconds(20);
  Wish none;
  start(trained, saved, none.wishes());
  EXPECT_GE(trained.seconds, 4 * 0.02);
}

// Two times 0.1 s and the second that is always kept leave room for one epoch more until 0.15 s,
// though the other two parts of an epoch take no time.
TEST(StepLoop, ADeadlineLeavesRoomForTheLongestStepMeasurementAndSave) {
  using Part = milliseconds ListOfSteps::*;
  for (const Part slow : {Part(&ListOfSteps::step_takes), Part(&ListOfSteps::finish_takes),
                          Part(&ListOfSteps::save_takes)}) {
    Saved saved;
    ListOfSteps trained(saved, 20, 1);
    trained.*slow = milliseconds(100);
    StopWishes wishes;
    wishes.deadline = std::chrono::steady_clock::now() + milliseconds(1350);
    EXPECT_THAT(start(trained, saved, wishes), StartsWith("the time limit: stopped after "));
    EXPECT_LE(saved.done.epochs, 2);
  }
}

}  // namespace
}  // namespace bitmill

// What people see of a tuning, with a clock and a stream of the test's own.

#include "cli/report/tune_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "cli/paper.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr float infinite = std::numeric_limits<float>::infinity();

// A tuning of three epochs of a hundred steps, told into a log.
class TuneLog : public ::testing::Test {
 protected:
  TuneLog() {
    forecast_.epochs = 3;
    forecast_.steps_per_epoch = 100;
  }

  Paper people_, scripts_;
  Console console_{people_.file(), scripts_.file(), false};
  Activity activity_;
  TuneForecast forecast_;
  double now_ = 1000;  // seconds
  TuneProgress progress_{console_, activity_, forecast_, [this] { return now_; }};
};

TEST_F(TuneLog, HasALineEveryHalfMinuteWithAnEtaFromTheStepsOfThisStart) {
  now_ += 500;  // of the original's outputs: no part of the pace
  progress_.training_begins();
  for (int64_t step = 50; step < 100; ++step) {  // an earlier start did the others
    now_ += 1;
    progress_.step_done(1, step);
  }
  progress_.epoch_done({{1.5F, 1.25F}, {2.0F, 1.5F, 1.125F}}, 100);
  EXPECT_EQ(people_.text(),
            "epoch 2/3 · step 80/100 · 1.00 s/step · ETA 2 min 00 s\n"
            "epoch 2/3 · training KL 1.2500 · held-out KL 1.1250 · 1 min 40 s · 1.00 s/step · ETA "
            "1 min 40 s\n");
}

TEST_F(TuneLog, AStepThatTakesLongerHasALineOfItsOwn) {
  progress_.training_begins();
  for (int64_t step = 0; step < 2; ++step) {
    now_ += 40;
    progress_.step_done(0, step);
  }
  EXPECT_THAT(people_.text(),
              AllOf(HasSubstr("step 1/100 · 40.0 s/step"), HasSubstr("step 2/100")));
}

TEST_F(TuneLog, BlocksOfTheOriginalsOutputsAreReported) {
  progress_.teacher_done(0, 30);
  for (int64_t block = 1; block <= 3; ++block) {
    now_ += 20;
    progress_.teacher_done(block, 30);
  }
  EXPECT_EQ(people_.text(),
            "the original's outputs · block 2/30 · 20.0 s/block · ETA 9 min 20 s\n");
  EXPECT_EQ(activity_.text(), "the original's outputs, 3 of 30 blocks done");
}

TEST_F(TuneLog, AnEpochThatDivergedIsNamedWithWhatIsKept) {
  progress_.epoch_done({{1.5F, infinite}, {2.0F, 1.5F, infinite}}, 100);
  EXPECT_THAT(people_.text(), AllOf(HasSubstr("epoch 2 diverged"), HasSubstr("ends with epoch 1"),
                                    HasSubstr("a lower --lr may help"), Not(HasSubstr("inf"))));
}

TEST(TuneSummary, OfATuningThatDivergedSaysSoAndCountsTheBestEpoch) {
  TuneResult result;
  result.history = {{1.5F, infinite}, {2.0F, 1.5F, infinite}};
  const std::string text = describe_tuning({}, result, {});
  EXPECT_THAT(text, AllOf(HasSubstr("epoch 2 diverged"), HasSubstr("1.5000, from 2.0000"),
                          HasSubstr("not finite"), Not(HasSubstr("inf "))));
}

TEST(TuneNotes, SignsThatAreTrainedInGroupsAreSaidSo) {
  TuneForecast forecast;
  forecast.factors = 1000;
  forecast.latents = 50000;
  forecast.parts.signs = true;
  forecast.sign_groups = {5, 5};
  EXPECT_THAT(what_is_trained(forecast), Not(HasSubstr("at a time")));
  forecast.sign_groups = {5, 2};
  forecast.epochs = 3;
  forecast.steps_per_epoch = 10;
  EXPECT_THAT(what_is_trained(forecast), HasSubstr("signs (those of 2 blocks at a time)"));
  EXPECT_THAT(describe_forecast({}, forecast),
              HasSubstr("in 3 groups of 2 blocks at most, one after the other, about 10 steps"));
}

TEST(TuneNotes, IdleRanksAreNamedWithTheStagesThatWouldUseThem) {
  TuneOptions options;
  options.batch = 4;
  TuneForecast forecast;
  forecast.blocks = 30;
  forecast.mesh = {1, 8};
  EXPECT_THAT(idle_ranks_note(options, forecast),
              AllOf(HasSubstr("4 of 8 ranks will idle"), HasSubstr("--batch of 4 windows"),
                    HasSubstr("--stages 2 would use all")));
  forecast.blocks = 1;
  EXPECT_THAT(idle_ranks_note(options, forecast),
              AllOf(HasSubstr("4 of 8 ranks will idle"), Not(HasSubstr("--stages"))));
  forecast.mesh = {2, 4};
  EXPECT_EQ(idle_ranks_note(options, forecast), "");
}

TEST(TuneNotes, FewWindowsThatAreHeldOutAreMentioned) {
  TuneForecast forecast;
  forecast.held_out = 1;
  EXPECT_THAT(few_held_out_note(forecast), HasSubstr("only 1 window is held out"));
  forecast.held_out = 3;
  EXPECT_THAT(few_held_out_note(forecast), HasSubstr("only 3 windows are held out"));
  forecast.held_out = 4;
  EXPECT_EQ(few_held_out_note(forecast), "");
}

}  // namespace
}  // namespace bitmill

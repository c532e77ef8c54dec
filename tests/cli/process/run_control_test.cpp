// When the batch system ends a job, by what it says in the environment.

#include "cli/process/run_control.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

namespace bitmill {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr double slurm_now = 1'700'000'000.5;

JobEnd slurm_end_of(const std::string& text) {
  return slurm_job_end(
      [&](const std::string& name) -> std::optional<std::string> {
        if (name != "SLURM_JOB_END_TIME") return std::nullopt;
        return text;
      },
      slurm_now);
}

TEST(SlurmJobEnd, ATimeInTheFutureIsWhenTheJobEnds) {
  const JobEnd end = slurm_end_of("1700003600");
  ASSERT_TRUE(end.seconds_left.has_value());
  EXPECT_DOUBLE_EQ(*end.seconds_left, 3599.5);
  EXPECT_EQ(end.note, "");
  // What Slurm says of a job without a limit.
  EXPECT_TRUE(slurm_end_of("1731536000").seconds_left.has_value());
}

TEST(SlurmJobEnd, WithoutTheVariableThereIsNothingToSay) {
  const JobEnd end = slurm_job_end([](const std::string&) { return std::nullopt; }, slurm_now);
  EXPECT_FALSE(end.seconds_left.has_value());
  EXPECT_EQ(end.note, "");
}

TEST(SlurmJobEnd, WhatIsNoTimeIsIgnoredAndNamed) {
  for (const char* text : {"", " ", "soon", "17000036x0", "1700003600 ", "1.7e9", "0x65",
                           "UNLIMITED", "99999999999999999999"}) {
    const JobEnd end = slurm_end_of(text);
    EXPECT_FALSE(end.seconds_left.has_value()) << text;
    EXPECT_THAT(end.note, AllOf(HasSubstr("SLURM_JOB_END_TIME is \"" + std::string(text) + "\""),
                                HasSubstr("ignored"), HasSubstr("--time-limit")));
  }
  EXPECT_THAT(slurm_end_of("9999999999999").note, HasSubstr("a hundred years"));
}

TEST(SlurmJobEnd, ATimeThatIsPastBelongsToAnotherJob) {
  const JobEnd end = slurm_end_of("1699999999");
  EXPECT_FALSE(end.seconds_left.has_value());
  EXPECT_THAT(end.note, HasSubstr("which was 2 s ago"));
  EXPECT_FALSE(slurm_end_of("0").seconds_left.has_value());
  EXPECT_FALSE(slurm_end_of("-5").seconds_left.has_value());
}

// The variable is this process's, as the program reads it.
class RunControlIn : public testing::Test {
 protected:
  RunControl control(const char* end, std::optional<double> time_limit_s) {
    ::setenv("SLURM_JOB_END_TIME", end, 1);
    const StopSignals deaf;
    RunControl made = make_run_control(deaf, time_limit_s,
                                       [&](const std::string& text) { said_.push_back(text); });
    ::unsetenv("SLURM_JOB_END_TIME");
    return made;
  }

  std::vector<std::string> said_;
};

TEST_F(RunControlIn, AStaleVariableGivesNoDeadlineAndOneLine) {
  EXPECT_FALSE(control("1700000000", {}).wishes.deadline.has_value());
  ASSERT_EQ(said_.size(), 1U);
  EXPECT_THAT(said_[0], HasSubstr("SLURM_JOB_END_TIME"));
}

TEST_F(RunControlIn, ATimeLimitByHandWinsAndNothingIsSaid) {
  const RunControl made = control("", 60);
  ASSERT_TRUE(made.wishes.deadline.has_value());
  EXPECT_THAT(made.wishes.after_deadline, HasSubstr("Run the same command again to go on"));
  EXPECT_TRUE(said_.empty());
}

TEST_F(RunControlIn, AfterTheEndOfAJobAnotherJobIsAdvised) {
  const RunControl made = control("4000000000", {});
  ASSERT_TRUE(made.wishes.deadline.has_value());
  EXPECT_GT(*made.wishes.deadline, std::chrono::steady_clock::now() + std::chrono::hours(24));
  EXPECT_THAT(made.wishes.after_deadline, HasSubstr("in another job"));
}

}  // namespace
}  // namespace bitmill

#include "cli/process/stop_signals.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/error.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

// Longer than the second within which signals are one wish.
void let_the_wish_pass() { std::this_thread::sleep_for(std::chrono::milliseconds(1100)); }

class StopSignalsOf : public testing::TestWithParam<std::pair<int, const char*>> {};

TEST_P(StopSignalsOf, FirstSignalIsAWishWithItsName) {
  StopSignals signals;
  signals.listen("", "");
  EXPECT_FALSE(signals.wanted());
  EXPECT_EQ(signals.reason(), "");
  ::raise(GetParam().first);
  EXPECT_TRUE(signals.wanted());
  EXPECT_EQ(signals.reason(), GetParam().second);
}

INSTANTIATE_TEST_SUITE_P(, StopSignalsOf,
                         testing::Values(std::pair{SIGTERM, "SIGTERM"}, std::pair{SIGINT, "SIGINT"},
                                         std::pair{SIGHUP, "SIGHUP"}, std::pair{SIGUSR1, "SIGUSR1"},
                                         std::pair{SIGUSR2, "SIGUSR2"}),
                         [](const auto& test) { return std::string(test.param.second); });

TEST(StopSignals, TheFirstIsAnnouncedOnceWithItsRank) {
  testing::internal::CaptureStderr();
  {
    StopSignals signals;
    signals.listen("rank 2 on n1", "the state is written");
    ::raise(SIGUSR1);
    ::raise(SIGTERM);  // the same wish: at once after it
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("rank 2 on n1: SIGUSR1: the state is written"));
  EXPECT_EQ(said.find('\n'), said.size() - 1) << said;
}

TEST(StopSignals, WithoutASignalNothingIsSaid) {
  testing::internal::CaptureStderr();
  {
    StopSignals signals;
    signals.listen("", "");
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(StopSignalsDeathTest, ASecondOneASecondLaterLeavesAtOnceWith75) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        StopSignals signals;
        signals.listen("", "");
        ::raise(SIGTERM);
        let_the_wish_pass();
        ::raise(SIGTERM);
      },
      testing::ExitedWithCode(75), "a second signal: leaving at once");
}

TEST(StopSignalsDeathTest, DeafOnesAndFormerOnesLeaveTheDefaultAction) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        StopSignals deaf;
        {
          StopSignals former;
          former.listen("", "");
        }
        ::raise(SIGTERM);
      },
      testing::KilledBySignal(SIGTERM), "");
}

// As nohup starts a process.
TEST(StopSignals, AHangupThatWasIgnoredStaysIgnored) {
  ::signal(SIGHUP, SIG_IGN);
  {
    StopSignals signals;
    signals.listen("", "");
    ::raise(SIGHUP);
    EXPECT_FALSE(signals.wanted());
  }
  EXPECT_EQ(::signal(SIGHUP, SIG_DFL), SIG_IGN);
}

// The reader of our output is gone with the terminal: the state must still be saved.
TEST(StopSignalsDeathTest, AListenerOutlivesTheReaderOfItsWordsAndNoOtherDoes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        StopSignals signals;
        signals.listen("", "");
        ::raise(SIGPIPE);
        ::_exit(7);
      },
      testing::ExitedWithCode(7), "");
  EXPECT_EXIT(
      {
        {
          StopSignals former;
          former.listen("", "");
        }
        ::raise(SIGPIPE);
      },
      testing::KilledBySignal(SIGPIPE), "");
}

TEST(StopSignalsDeathTest, AFileThatGrowsBeyondTheLimitIsAnErrorOfTheWrite) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        take_file_limits_as_errors();
        ::raise(SIGXFSZ);
        ::_exit(7);
      },
      testing::ExitedWithCode(7), "");
}

TEST(StopSignals, TwoListenersAreRefused) {
  StopSignals one, other;
  one.listen("", "");
  EXPECT_THROW(other.listen("", ""), Error);
}

}  // namespace
}  // namespace bitmill

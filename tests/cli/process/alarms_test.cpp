#include "cli/process/alarms.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "cli/process/failure.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

constexpr Launch second_of_three = {.under_mpi = true, .rank = 1, .ranks = 3};

TEST(StartAlarm, RingsWhenTheOthersDoNotCome) {
  std::promise<std::string> rung;
  const StartAlarm alarm(second_of_three, 1,
                         [&](const std::string& text) { rung.set_value(text); });
  auto text = rung.get_future();
  ASSERT_EQ(text.wait_for(std::chrono::minutes(1)), std::future_status::ready);
  EXPECT_THAT(text.get(), HasSubstr("rank 1 of 3: the ranks have not all started in 1 s"));
}

TEST(StartAlarm, IsSilentOnceAllHaveMetWithoutMpiAndWithATimeoutOf0) {
  std::atomic<int> rung = 0;
  const auto ring = [&](const std::string&) { ++rung; };
  {
    StartAlarm met(second_of_three, 1, ring);
    const StartAlarm alone({}, 1, ring);
    const StartAlarm unwatched(second_of_three, 0, ring);
    met.stop();
    std::this_thread::sleep_for(std::chrono::seconds(8));
  }
  EXPECT_EQ(rung, 0);
}

TEST(StartAlarmDeathTest, EndsTheRankWith75) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        const StartAlarm alarm(second_of_three, 1);
        std::this_thread::sleep_for(std::chrono::minutes(1));
      },
      testing::ExitedWithCode(exit_code::stopped), "Nothing was begun");
}

TEST(KillTimerDeathTest, EndsAProcessThatIsStopped) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        end_process_in(1);
        ::raise(SIGSTOP);
      },
      testing::KilledBySignal(SIGKILL), "");
}

}  // namespace
}  // namespace bitmill

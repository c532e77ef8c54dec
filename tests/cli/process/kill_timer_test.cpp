#include "cli/process/kill_timer.hpp"

#include <gtest/gtest.h>
#include <signal.h>

namespace bitmill {
namespace {

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

#include "cli/process/watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.hpp"
#include "comm/thread_communicator.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using testing::HasSubstr;

TEST(Timeout, IsReadAsATimeAndFiveMinutesWhenNotGiven) {
  Settings settings;
  EXPECT_EQ(read_timeout(settings), 300);
  settings.add("timeout", {"2m", "--timeout"});
  EXPECT_EQ(read_timeout(settings), 120);
  Settings wrong;
  wrong.add("timeout", {"soon", "timeout in line 3 of x.cfg"});
  try {
    read_timeout(wrong);
    FAIL() << "it is no time";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("timeout in line 3 of x.cfg: \"soon\" is not a time"));
  }
}

TEST(Watch, OneRankAndATimeoutOf0AreNotWatched) {
  ThreadPool pool(1);
  run_ranks(1, [&](Communicator& comm) {
    Watch watch(comm, "n1", 1, pool);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  });
  run_ranks(2, [&](Communicator& comm) {
    Watch watch(comm, "n1", 0, pool);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    watch.announce_failure(1);  // nobody listens
  });
}

// Five seconds behind the watchdog at the latest, which judges whoever hangs.
TEST(Watch, TransfersHaveHalfOfTheTimeoutButEndWithIt) {
  ThreadPool pool(1);
  const auto patience = [&](int64_t timeout) {
    double seconds = 0;
    run_ranks(1, [&](Communicator& comm) {
      seconds = Watch(comm, "n1", timeout, pool).transfer_patience_s();
    });
    return seconds;
  };
  EXPECT_EQ(patience(4), 9);
  EXPECT_EQ(patience(19), 24);
  EXPECT_EQ(patience(40), 30) << "to begin, NCCL takes seconds";
  EXPECT_EQ(patience(300), 150);
  EXPECT_GT(patience(0), 1e300) << "no limit at all";
}

TEST(Activity, NamesTheGpuFromWhereItIsKnown) {
  Activity activity;
  activity.set("block 3, train");
  EXPECT_EQ(activity.text(), "block 3, train");
  activity.set_device("NVIDIA H200 (cuda:1), 151 GB");
  EXPECT_EQ(activity.text(), "block 3, train, on NVIDIA H200 (cuda:1), 151 GB");
}

// Each rank would wait for the others in a way of its own.
TEST(Watch, RanksWithDifferentTimeoutsAreAllRefused) {
  ThreadPool pool(1);
  for (const int64_t other : {0, 7}) {
    run_ranks(3, [&](Communicator& comm) {
      try {
        Watch watch(comm, "n1", comm.rank() == 2 ? other : 300, pool);
        ADD_FAILURE() << "rank " << comm.rank() << " began";
      } catch (const UsageError& error) {
        EXPECT_THAT(error.what(), HasSubstr("s on rank 2 and 300 s on rank 0"));
      }
    });
  }
}

// Ranks of one process: the first that leaves ends both, and rank 0 reports before it tells.
TEST(WatchDeathTest, RanksThatDoNothingLeaveWith75AndAReport) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const std::string path = ::testing::TempDir() + "bitmill-watch-test-trouble.json";
  EXPECT_EXIT(
      {
        ThreadPool pool(1);
        run_ranks(2, [&](Communicator& comm) {
          Watch watch(comm, "n1", 1, pool);
          watch.set_report_path(path);
          watch.activity().set("block 3, train");
          std::this_thread::sleep_for(std::chrono::minutes(1));
        });
      },
      testing::ExitedWithCode(75), "no rank has done anything for 1");
  std::ifstream file(path);
  const auto json = nlohmann::json::parse(file);
  EXPECT_EQ(json.at("kind"), "stuck");
  EXPECT_EQ(json.at("ranks").at(1).at("activity"), "block 3, train");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace bitmill

#include "base/thread_pool.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <latch>
#include <stdexcept>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

class ThreadPoolOf : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolOf, ::testing::Values(1, 2, 3, 5));

TEST_P(ThreadPoolOf, EveryIndexIsVisitedOnce) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.size(), GetParam());
  for (const int64_t count : {0, 1, 2, 31, 33, 1009}) {
    std::vector<std::atomic<int>> visits(count);
    pool.parallel_for(count, [&](int64_t i) { ++visits[i]; });
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(visits[i], 1) << i << " of " << count;
  }
}

TEST_P(ThreadPoolOf, NestedCallsFinishAndVisitEveryPairOnce) {
  ThreadPool pool(GetParam());
  constexpr int64_t outer = 7, middle = 5, inner = 11;
  std::vector<std::atomic<int>> visits(outer * middle * inner);
  pool.parallel_for(outer, [&](int64_t i) {
    pool.parallel_for(middle, [&](int64_t j) {
      pool.parallel_for(inner, [&](int64_t k) { ++visits[(i * middle + j) * inner + k]; });
    });
  });
  for (const auto& count : visits) EXPECT_EQ(count, 1);
}

TEST_P(ThreadPoolOf, TheFirstExceptionIsRethrownAndThePoolGoesOn) {
  ThreadPool pool(GetParam());
  const auto fail_at_17 = [](int64_t i) {
    if (i == 17) throw std::runtime_error("seventeen");
  };
  for (int round = 0; round < 20; ++round) {
    try {
      pool.parallel_for(100, fail_at_17);
      FAIL() << "the exception was lost";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "seventeen");
    }
  }
  std::atomic<int64_t> sum = 0;
  pool.parallel_for(100, [&](int64_t i) { sum += i; });
  EXPECT_EQ(sum, 4950);
}

TEST_P(ThreadPoolOf, AnExceptionOfANestedCallReachesTheOuterCaller) {
  ThreadPool pool(GetParam());
  const auto nested = [&](int64_t) {
    pool.parallel_for(8, [](int64_t j) {
      if (j == 5) throw std::logic_error("inner");
    });
  };
  EXPECT_THROW(pool.parallel_for(8, nested), std::logic_error);
}

TEST(ThreadPool, TasksDoneAreCountedAloneAndTogether) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    pool.parallel_for(7, [](int64_t) {});
    EXPECT_EQ(pool.tasks_done(), 7U);
  }
}

TEST(ThreadPool, TasksThatHaveNotBegunAreLeftOutAfterAFailure) {
  ThreadPool pool(1);
  int64_t last = -1;
  const auto task = [&](int64_t i) {
    last = i;
    if (i == 3) throw std::runtime_error("three");
  };
  EXPECT_THROW(pool.parallel_for(1000, task), std::runtime_error);
  EXPECT_EQ(last, 3);
}

TEST_P(ThreadPoolOf, ThreadsThatSpinVisitEveryIndexAndSleepInTheEnd) {
  for (const int microseconds : {1, 100, 100'000}) {
    ThreadPool pool(GetParam());
    pool.spin_while_idle(std::chrono::microseconds(microseconds));
    for (int round = 0; round < 300; ++round) {
      std::vector<std::atomic<int>> visits(7);
      pool.parallel_for(7, [&](int64_t i) { pool.parallel_for(3, [&](int64_t) { ++visits[i]; }); });
      for (const auto& count : visits) ASSERT_EQ(count, 3);
    }
    EXPECT_THROW(pool.parallel_for(5, [](int64_t) { throw std::logic_error("all"); }),
                 std::logic_error);
  }
}

TEST(ThreadPool, AThreadThatSpinsIsThereForTheNextCall) {
  ThreadPool pool(2);
  pool.spin_while_idle(std::chrono::microseconds(1000));
  for (int round = 0; round < 20; ++round) {
    std::latch both_here(2);
    pool.parallel_for(2, [&](int64_t) { both_here.arrive_and_wait(); });
  }
}

TEST(ThreadPool, TasksRunAtTheSameTime) {
  ThreadPool pool(3);
  std::latch all_here(3);  // never opens when one thread does all the work: the time limit tells
  pool.parallel_for(3, [&](int64_t) { all_here.arrive_and_wait(); });
}

TEST(ThreadPool, OnStartRunsOnceOnEveryThreadItMakes) {
  std::atomic<int> starts = 0;
  {
    ThreadPool pool(4, [&] { ++starts; });
  }
  EXPECT_EQ(starts, 3);
}

// In a process of its own: leaves it address space for the stacks of a few threads only.
[[noreturn]] void make_a_pool_that_does_not_fit() {
  rlim_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t bytes = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{128} << 20);
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::exit(3);
  try {
    ThreadPool pool(4096);
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    std::exit(0);
  }
  std::exit(1);
}

TEST(ThreadPoolDeathTest, ThreadsThatTheSystemRefusesAreAnErrorThatSaysWhatToDo) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need the address space that this test takes away";
#endif
  EXPECT_EXIT(make_a_pool_that_does_not_fit(), testing::ExitedWithCode(0),
              "of 4096 could not be started: .*lower --threads");
}

}  // namespace
}  // namespace bitmill

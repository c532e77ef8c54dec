// One kernel for each kind of bug: the emulator must catch it. Races that no order of threads shows
// are in races_test.cpp.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "tests/emulation/block/access_counter.hpp"
#include "tests/emulation/block/planted_kernels.hpp"

namespace bitmill::planted {
namespace {

using emulation::DeviceArray;
using kernels::launch;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class PlantedBugs : public testing::Test {
 protected:
  void TearDown() override { emulation::settings() = {}; }
};

// Right kernels first: else a bug that is found proves nothing.
TEST_F(PlantedBugs, WithoutOneEveryOrderGivesThePlainResult) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    emulation::settings().seed = seed;
    EXPECT_EQ(run_sum_rows(sum_rows<Bug::none>, 3, 1000), plain_sum_rows(3, 1000));
    EXPECT_EQ(run_rotate(rotate<Bug::none>, 5), plain_rotate(5));
    EXPECT_EQ(run_sum_staged(sum_staged<Bug::none>, 5), plain_sum_staged(5));
  }
}

template <typename Run, typename Result>
int seeds_with_wrong_result(Run run, const Result& right) {
  int wrong = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    emulation::settings().seed = seed;
    wrong += run() != right ? 1 : 0;
  }
  return wrong;
}

TEST_F(PlantedBugs, AMissingBarrierGivesWrongResultsInSomeOrders) {
  EXPECT_GT(
      seeds_with_wrong_result([] { return run_sum_rows(sum_rows<Bug::missing_barrier>, 3, 1000); },
                              plain_sum_rows(3, 1000)),
      15);
}

TEST_F(PlantedBugs, AMissingBarrierOfAWarpGivesWrongResultsInSomeOrders) {
  std::vector<int> right;
  for (int i = 0; i < 32; ++i) right.push_back((i + 1) % 32);
  EXPECT_EQ(run_rotate_warp(rotate_warp<Bug::none>), right);
  EXPECT_GT(seeds_with_wrong_result(
                [] { return run_rotate_warp(rotate_warp<Bug::missing_warp_barrier>); }, right),
            15);
}

TEST_F(PlantedBugs, TwoBarriersAtOnceAreADivergentBarrier) {
  EXPECT_THAT(fault_of([] { run_sum_rows(sum_rows<Bug::two_barriers>, 1, 100); }),
              AllOf(ContainsRegex("block .0,0,0., thread .[0-9]+,0,0.: divergent barrier: is at "
                                  "__syncthreads, planted_kernels.hpp:[0-9]+, but thread "
                                  ".[0-9]+,0,0. is at __syncthreads, planted_kernels.hpp:")));
}

TEST_F(PlantedBugs, AThreadThatReturnsBeforeABarrierIsADivergentBarrier) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    emulation::settings().seed = seed;
    EXPECT_THAT(fault_of([] { run_sum_rows(sum_rows<Bug::early_return>, 1, 100); }),
                AllOf(HasSubstr("divergent barrier"), HasSubstr("(77,0,0)")));
  }
}

TEST_F(PlantedBugs, AShuffleThatReadsOutsideItsMaskIsNamed) {
  EXPECT_THAT(
      fault_of([] { run_sum_rows(sum_rows<Bug::shuffle_outside_mask>, 1, 100); }),
      testing::AnyOf(ContainsRegex("__shfl_xor_sync, planted_kernels.hpp:[0-9]+: reads lane "
                                   "[0-9]+, which is outside its mask 0x0000ffff"),
                     HasSubstr("lanes disagree about the mask")));
}

TEST_F(PlantedBugs, ASharedOverrunIsNamedWithItsThread) {
  EXPECT_THAT(fault_of([] { run_sum_rows(sum_rows<Bug::shared_overrun>, 1, 100); }),
              AllOf(HasSubstr("thread (96,0,0): writes"),
                    HasSubstr("0 bytes past the end of shared array 'partial' (16 bytes)")));
}

TEST_F(PlantedBugs, ADeviceOverrunIsNamedWithItsThreadAndArray) {
  const std::string read = fault_of([] { run_sum_rows(sum_rows<Bug::device_overrun>, 2, 320); });
  const std::string write =
      fault_of([] { run_sum_rows(sum_rows<Bug::device_write_overrun>, 64, 32); });
  EXPECT_THAT(read, AllOf(HasSubstr("block (1,0,0), thread (64,0,0): reads"),
                          HasSubstr("0 bytes past the end of device array 'x' (2560 bytes)")));
  EXPECT_THAT(write, AllOf(HasSubstr("thread (0,0,0): writes"),
                           ContainsRegex("past the end of device array 'out' .256 bytes")));
}

// Arrays end anywhere, pages do not: only the hooks see these.
TEST_F(PlantedBugs, AnOverrunByOneElementIsSeenInEveryArray) {
  if (!emulation::accesses_are_seen()) GTEST_SKIP() << "accesses are not seen in this build";
  for (const int n : {1, 31, 33, 100}) {
    EXPECT_THAT(fault_of([&] { run_sum_rows(sum_rows<Bug::device_overrun>, 1, n); }),
                HasSubstr("reads 4 bytes 0 bytes past the end of device array 'x'"))
        << n;
  }
}

TEST_F(PlantedBugs, AMissingWaitForACopyLeavesNothingToRead) {
  EXPECT_THAT(fault_of([] { run_sum_staged(sum_staged<Bug::missing_wait>, 3); }),
              HasSubstr("returns before a cp.async of its own has arrived"));
  EXPECT_NE(run_sum_staged(sum_staged<Bug::late_wait>, 3), plain_sum_staged(3));
}

__global__ void half_at_each(int* out) {
  if (threadIdx.x % 32 < 16) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  out[threadIdx.x] = 1;
}

TEST_F(PlantedBugs, ADeadlockNamesWhoWaitsWhere) {
  const DeviceArray<int> out(64, "out");
  EXPECT_THAT(
      fault_of([&] {
        launch(half_at_each, {{1}, {64}}, nullptr, out.data());
      }),
      AllOf(HasSubstr("deadlock"),
            ContainsRegex("threads .0,0,0. to .15,0,0., .32,0,0. to .47,0,0. wait in __syncthreads "
                          "at planted_bugs_test.cpp:"),
            ContainsRegex("threads .16,0,0. to .31,0,0., .48,0,0. to .63,0,0. wait in __syncwarp "
                          "at planted_bugs_test.cpp:")));
}

__global__ void votes_with(unsigned mask, unsigned other, unsigned* out) {
  out[threadIdx.x] = __ballot_sync(threadIdx.x < 8 ? mask : other, 1);
}

TEST_F(PlantedBugs, ALaneOutsideItsOwnMaskIsNamed) {
  const DeviceArray<unsigned> out(32, "out");
  EXPECT_THAT(fault_of([&] {
                launch(votes_with, {{1}, {32}}, nullptr, 0x7FU, 0xFFFFFF00U, out.data());
              }),
              HasSubstr("__ballot_sync with mask 0x0000007f, which leaves out lane 7, its own"));
}

TEST_F(PlantedBugs, MasksThatOverlapAreNamed) {
  const DeviceArray<unsigned> out(32, "out");
  EXPECT_THAT(fault_of([&] {
                launch(votes_with, {{1}, {32}}, nullptr, 0xFFFFU, 0xFFFFFFFFU, out.data());
              }),
              HasSubstr("lanes disagree about the mask"));
}

__global__ void two_operations(unsigned* out) {
  out[threadIdx.x] =
      threadIdx.x < 16 ? __ballot_sync(~0U, 1) : static_cast<unsigned>(__any_sync(~0U, 1));
}

TEST_F(PlantedBugs, LanesAtDifferentCollectivesAreNamed) {
  const DeviceArray<unsigned> out(32, "out");
  EXPECT_THAT(fault_of([&] {
                launch(two_operations, {{1}, {32}}, nullptr, out.data());
              }),
              AllOf(HasSubstr("are at different collectives"), HasSubstr("__any_sync"),
                    HasSubstr("__ballot_sync")));
}

__global__ void reads_lane_of(float* out, int lane) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_sync(~0U, 1.0F, lane);
}

TEST_F(PlantedBugs, AShuffleFromALaneThatHasReturnedIsNamed) {
  const DeviceArray<float> out(32, "out");
  EXPECT_THAT(fault_of([&] {
                launch(reads_lane_of, {{1}, {32}}, nullptr, out.data(), 5);
              }),
              HasSubstr("reads lane 5, which has returned"));
  EXPECT_EQ(fault_of([&] { launch(reads_lane_of, {{1}, {32}}, nullptr, out.data(), 6); }), "");
}

__global__ void reads(const float* from, float* out, int64_t offset) { *out = from[offset]; }

TEST_F(PlantedBugs, AnArrayThatIsGoneCannotBeRead) {
  const DeviceArray<float> out(1, "out");
  const float* dangling = nullptr;
  {
    const DeviceArray<float> gone(64, "gone");
    dangling = gone.data();
  }
  EXPECT_THAT(fault_of([&] {
                launch(reads, {{1}, {1}}, nullptr, dangling, out.data(), int64_t{3});
              }),
              AllOf(HasSubstr("at byte 12 of device array 'gone'"), HasSubstr("freed")));
}

TEST_F(PlantedBugs, FarAndNullAddressesEndTheKernelNotTheProcess) {
  const DeviceArray<float> out(1, "out");
  const float* const null = nullptr;
  EXPECT_THAT(fault_of([&] {
                launch(reads, {{1}, {1}}, nullptr, null, out.data(), int64_t{0});
              }),
              HasSubstr("which is no device memory"));
  const DeviceArray<float> from(1, "from");
  EXPECT_THAT(fault_of([&] {
                launch(reads, {{1}, {1}}, nullptr, from.data(), out.data(), int64_t{-1000});
              }),
              HasSubstr("bytes before device array 'from'"));
}

TEST_F(PlantedBugs, MemoryOfTheHostIsNotTheDevices) {
  if (!emulation::accesses_are_seen()) GTEST_SKIP() << "accesses are not seen in this build";
  const DeviceArray<float> out(1, "out");
  const std::vector<float> host(4, 1.0F);
  EXPECT_THAT(fault_of([&] {
                launch(reads, {{1}, {1}}, nullptr, host.data(), out.data(), int64_t{0});
              }),
              HasSubstr("which is no device memory"));
}

__global__ void reads_words(const char* from, float* out) {
  *out = *reinterpret_cast<const float*>(from + threadIdx.x);
}

TEST_F(PlantedBugs, AMisalignedAccessIsNamed) {
  if (!emulation::accesses_are_seen()) GTEST_SKIP() << "accesses are not seen in this build";
  const DeviceArray<float> from(8, "from"), out(1, "out");
  const char* const bytes = reinterpret_cast<const char*>(from.data());
  EXPECT_EQ(fault_of([&] { launch(reads_words, {{1}, {1}}, nullptr, bytes, out.data()); }), "");
  EXPECT_THAT(fault_of([&] {
                launch(reads_words, {{1}, {2}}, nullptr, bytes, out.data());
              }),
              HasSubstr("misaligned"));
}

__global__ void much_shared(float* out) {
  BITMILL_SHARED(float, half, [6 * 1024]);
  BITMILL_SHARED(float, more, [6 * 1024 + 4]);
  out[0] = half[threadIdx.x] + more[threadIdx.x];
}

TEST_F(PlantedBugs, MoreSharedMemoryThanCudaHasIsRefused) {
  const DeviceArray<float> out(1, "out");
  EXPECT_THAT(fault_of([&] {
                launch(much_shared, {{1}, {1}}, nullptr, out.data());
              }),
              HasSubstr("brings the block to 49168 bytes of static"));
}

// Not a tail call, nor a loop. Of its frame it touches both ends only.
template <int Ints>
[[gnu::noinline]] int deep(volatile int* places, int left) {
  volatile int mine[Ints];
  mine[left % 2 * (Ints - 1)] = left;
  places[0] = left;
  return left == 0 ? mine[0] : deep<Ints>(mine, left - 1) + mine[left % 2 * (Ints - 1)];
}

template <int Ints>
__global__ void recurses(int* out, int depth) {
  volatile int first[1];
  out[0] = deep<Ints>(first, depth);
}

TEST_F(PlantedBugs, AStackThatIsUsedUpEndsTheKernelNotTheProcess) {
  const DeviceArray<int> out(1, "out");
  EXPECT_EQ(fault_of([&] { launch(recurses<512>, {{1}, {1}}, nullptr, out.data(), 3); }), "");
  EXPECT_THAT(fault_of([&] {
                launch(recurses<512>, {{1}, {1}}, nullptr, out.data(), 1000);
              }),
              HasSubstr("stack of a thread"));
}

// A frame of 18 KiB skips a guard of one page.
TEST_F(PlantedBugs, AFrameOfManyPagesDoesNotSkipTheGuardOfAStack) {
  const DeviceArray<int> out(1, "out");
  EXPECT_EQ(fault_of([&] { launch(recurses<4608>, {{1}, {1}}, nullptr, out.data(), 1); }), "");
  EXPECT_THAT(fault_of([&] {
                launch(recurses<4608>, {{1}, {1}}, nullptr, out.data(), 1000);
              }),
              HasSubstr("stack of a thread"));
}

// What this program prints when it is called `path` and runs the tests that `filter` selects.
std::string run_as(const std::string& path, const std::string& filter) {
  const int out = memfd_create("out", 0);
  const std::string option = "--gtest_filter=" + filter;
  const pid_t child = fork();
  if (child == 0) {
    dup2(out, STDOUT_FILENO);
    execl("/proc/self/exe", path.c_str(), option.c_str(), nullptr);
    _exit(126);
  }
  waitpid(child, nullptr, 0);
  std::string text(64 * 1024, '\0');
  text.resize(std::max<ssize_t>(0, pread(out, text.data(), text.size(), 0)));
  close(out);
  return text;
}

// The words for a fault name the program, and a long path takes other ways through the standard
// library: those called the access hooks, on a stack that no CUDA thread has.
TEST_F(PlantedBugs, AProgramWithALongPathSaysTheSame) {
  EXPECT_THAT(run_as("/" + std::string(300, 'p') + "/test", "PlantedBugs.A*Stack*"),
              HasSubstr("[  PASSED  ] 2 tests"));
}

// After a fault the emulator goes on as if nothing had been.
TEST_F(PlantedBugs, TheNextLaunchIsNotDisturbed) {
  fault_of([] { run_sum_rows(sum_rows<Bug::shared_overrun>, 3, 100); });
  EXPECT_EQ(run_sum_rows(sum_rows<Bug::none>, 3, 100), plain_sum_rows(3, 100));
}

}  // namespace
}  // namespace bitmill::planted

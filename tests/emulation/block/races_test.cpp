// Races that ThreadSanitizer finds in kernels, whatever the order in which their threads ran.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/emulation/block/planted_kernels.hpp"
#include "tests/emulation/block/races.hpp"

namespace bitmill::planted {
namespace {

using emulation::DeviceArray;
using emulation::races_of;
using kernels::launch;
using testing::Contains;
using testing::ContainsRegex;
using testing::IsEmpty;
using testing::Not;

// The lines of planted_kernels.hpp that are meant begin with these words.
int line_with(const std::string& words) {
  std::FILE* const file =
      std::fopen(BITMILL_SOURCE_DIR "/tests/emulation/block/planted_kernels.hpp", "r");
  if (file == nullptr) return 0;
  char text[256];
  int number = 0;
  while (std::fgets(text, sizeof text, file) != nullptr) {
    ++number;
    if (std::string(text).find(words) != std::string::npos) break;
  }
  std::fclose(file);
  return number;
}

std::string access_of(const std::string& kind, const std::string& words) {
  return kind + " of 4 bytes at planted_kernels.hpp:" + std::to_string(line_with(words));
}

TEST(Races, KernelsThatAreRightHaveNone) {
  EXPECT_THAT(races_of([] {
                for (uint64_t seed = 1; seed <= 3; ++seed) {
                  emulation::settings().seed = seed;
                  run_sum_rows(sum_rows<Bug::none>, 3, 1000);
                  run_rotate(rotate<Bug::none>, 5);
                  run_rotate_warp(rotate_warp<Bug::none>);
                  run_sum_staged(sum_staged<Bug::none>, 5);
                }
              }),
              IsEmpty());
  emulation::settings() = {};
}

TEST(Races, AMissingBarrierIsOne) {
  const auto races = races_of([] { run_sum_rows(sum_rows<Bug::missing_barrier>, 1, 1000); });
  EXPECT_THAT(races, Contains(access_of("write", "if (thread % 32 == 0) partial[")));
  EXPECT_THAT(races, Contains(access_of("read", "for (const float one : partial)")));
}

// The orders that the emulator chooses do not show this one every time; a GPU seldom would.
TEST(Races, AWriteBeforeEverybodyHasReadIsOne) {
  const auto races = races_of([] { run_rotate(rotate<Bug::write_after_read>, 5); });
  EXPECT_THAT(races, Contains(access_of("write", "tile[thread] = mine;")));
  EXPECT_THAT(races, Contains(access_of("read", "mine = tile[(thread + 1) % threads];")));
}

TEST(Races, AMissingBarrierOfAWarpIsOne) {
  EXPECT_THAT(races_of([] { run_rotate_warp(rotate_warp<Bug::missing_warp_barrier>); }),
              Contains(access_of("write", "tile[lane] = values[lane];")));
}

// CUDA: a shuffle or a vote is no memory barrier.
__global__ void votes_between(int* values) {
  BITMILL_SHARED(int, tile, [32]);
  const int lane = static_cast<int>(threadIdx.x);
  tile[lane] = lane;
  if (__any_sync(~0U, 1) != 0) values[lane] = tile[31 - lane];
}

TEST(Races, AVoteOrdersNoMemory) {
  const DeviceArray<int> values(32, "values");
  EXPECT_THAT(races_of([&] {
                launch(votes_between, {{1}, {32}}, nullptr, values.data());
              }),
              Contains(ContainsRegex("read of 4 bytes at races_test.cpp")));
}

__global__ void counts(int* total) {
  if (threadIdx.x == 0) *total += 1;
}

TEST(Races, BlocksOfALaunchAreNotOrderedLaunchesAre) {
  const DeviceArray<int> total(std::vector<int>{0}, "total");
  EXPECT_THAT(races_of([&] {
                launch(counts, {{1}, {32}}, nullptr, total.data());
                launch(counts, {{1}, {32}}, nullptr, total.data());
              }),
              IsEmpty());
  EXPECT_THAT(races_of([&] {
                launch(counts, {{2}, {32}}, nullptr, total.data());
              }),
              Contains(ContainsRegex("write of 4 bytes at races_test.cpp")));
}

// A copy is there for its own thread after the wait, for others after a barrier.
__global__ void reads_neighbours_copy(const float* x, float* out, int barrier) {
  BITMILL_SHARED(float, stage, [32]);
  const int lane = static_cast<int>(threadIdx.x);
  kernels::copy_async<4>(&stage[lane], x + lane);
  kernels::commit_copies();
  kernels::wait_copies<0>();
  if (barrier != 0) __syncthreads();
  out[lane] = stage[(lane + 1) % 32];
}

TEST(Races, AWaitForACopyIsNoBarrier) {
  const DeviceArray<float> x(std::vector<float>(32, 1.0F), "x"), out(32, "out");
  const auto run = [&](int barrier) {
    launch(reads_neighbours_copy, {{1}, {32}}, nullptr, x.data(), out.data(), barrier);
  };
  EXPECT_THAT(races_of([&] { run(1); }), IsEmpty());
  EXPECT_THAT(races_of([&] { run(0); }), Not(IsEmpty()));
}

}  // namespace
}  // namespace bitmill::planted

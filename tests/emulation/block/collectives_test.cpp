// What CUDA's names do, against plain loops and by hand.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/simt.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/grid.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using kernels::launch;

enum class Kind { index, up, down, exclusive_or };

__global__ void shuffles(int* out, Kind kind, int operand, int width) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned step = static_cast<unsigned>(operand);
  int value = -1;
  if (kind == Kind::index) value = __shfl_sync(~0U, lane, operand, width);
  if (kind == Kind::up) value = __shfl_up_sync(~0U, lane, step, width);
  if (kind == Kind::down) value = __shfl_down_sync(~0U, lane, step, width);
  if (kind == Kind::exclusive_or) value = __shfl_xor_sync(~0U, lane, operand, width);
  out[lane] = value;
}

std::vector<int> shuffled(Kind kind, int operand, int width) {
  const DeviceArray<int> out(32, "out");
  launch(shuffles, {{1}, {32}}, nullptr, out.data(), kind, operand, width);
  return out.to_host();
}

// CUDA C++ Programming Guide, "Warp Shuffle Functions", in its own words: lanes of a segment of
// `width`; outside it a lane keeps its value, but an index wraps.
TEST(Collectives, ShufflesStayInTheirSegment) {
  for (const int width : {2, 4, 8, 16, 32}) {
    for (const int operand : {0, 1, 3, 5, 16, 31}) {
      const auto index = shuffled(Kind::index, operand, width);
      const auto up = shuffled(Kind::up, operand, width);
      const auto down = shuffled(Kind::down, operand, width);
      for (int lane = 0; lane < 32; ++lane) {
        const int place = lane % width, segment = lane - place;
        EXPECT_EQ(index[lane], segment + operand % width);
        EXPECT_EQ(up[lane], place < operand ? lane : lane - operand);
        EXPECT_EQ(down[lane], place + operand >= width ? lane : lane + operand);
      }
    }
  }
  // A segment sees those below it, not those above.
  EXPECT_EQ(shuffled(Kind::exclusive_or, 4, 4)[3], 3);
  EXPECT_EQ(shuffled(Kind::exclusive_or, 4, 4)[7], 3);
  EXPECT_EQ(shuffled(Kind::exclusive_or, 5, 32)[7], 2);
}

struct Votes {
  unsigned ballot, any, all, sum, least, most_signed, same, bit_or;
};

__global__ void votes(Votes* out, unsigned mask) {
  const unsigned lane = threadIdx.x;
  if ((mask >> lane & 1U) == 0) return;
  Votes mine{};
  mine.ballot = __ballot_sync(mask, lane % 3 == 0);
  mine.any = static_cast<unsigned>(__any_sync(mask, lane == 9));
  mine.all = static_cast<unsigned>(__all_sync(mask, lane != 9));
  mine.sum = __reduce_add_sync(mask, lane);
  mine.least = __reduce_min_sync(mask, lane + 5);
  mine.most_signed = static_cast<unsigned>(__reduce_max_sync(mask, 10 - static_cast<int>(lane)));
  mine.same = __match_any_sync(mask, lane / 8);
  mine.bit_or = __reduce_or_sync(mask, 1U << lane);
  out[lane] = mine;
}

TEST(Collectives, VotesAndReductionsAreOfTheMaskAlone) {
  for (const unsigned mask : {~0U, 0x0000FFFFU, 0xF0F0F0F0U, 0x00000200U, 0x80000001U}) {
    const DeviceArray<Votes> out(32, "out");
    launch(votes, {{1}, {32}}, nullptr, out.data(), mask);
    const auto all = out.to_host();
    Votes want{};
    unsigned least = ~0U;
    int most = -100;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      want.ballot |= static_cast<unsigned>(lane % 3 == 0) << lane;
      want.sum += lane;
      least = std::min(least, lane + 5);
      most = std::max(most, 10 - static_cast<int>(lane));
    }
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((mask >> lane & 1U) == 0) continue;
      EXPECT_EQ(all[lane].ballot, want.ballot);
      EXPECT_EQ(all[lane].any, mask >> 9 & 1U);
      EXPECT_EQ(all[lane].all, 1 - (mask >> 9 & 1U));
      EXPECT_EQ(all[lane].sum, want.sum);
      EXPECT_EQ(all[lane].least, least);
      EXPECT_EQ(static_cast<int>(all[lane].most_signed), most);
      EXPECT_EQ(all[lane].same, mask & 0xFFU << lane / 8 * 8);
      EXPECT_EQ(all[lane].bit_or, mask);
    }
  }
}

// Halves of a warp that go their own ways, many times.
__global__ void halves(int* out, int times) {
  const unsigned lane = threadIdx.x % 32, half = lane / 16;
  const unsigned mask = half == 0 ? 0xFFFFU : 0xFFFF0000U;
  int sum = static_cast<int>(threadIdx.x);
  for (int time = 0; time < times + static_cast<int>(half); ++time) {
    sum = __shfl_down_sync(mask, sum, 1, 16) + 1;
  }
  out[threadIdx.x] = sum;
}

TEST(Collectives, DifferentMasksDoNotDisturbEachOther) {
  const DeviceArray<int> out(64, "out");
  launch(halves, {{1}, {64}}, nullptr, out.data(), 16);
  for (int thread = 0; thread < 64; ++thread) {
    const int half = thread / 16 % 2;
    EXPECT_EQ(out.to_host()[thread], thread / 16 * 16 + 15 + 16 + half) << thread;
  }
}

__global__ void block_votes(int* out) {
  const int thread = static_cast<int>(threadIdx.x);
  int* const mine = out + thread * 4;
  mine[0] = __syncthreads_count(thread % 5 == 0);
  mine[1] = __syncthreads_and(thread < 1000);
  mine[2] = __syncthreads_or(thread == 69);
  mine[3] = __syncthreads_and(thread != 3);
}

TEST(Collectives, BarriersCountTheVotesOfTheBlock) {
  const DeviceArray<int> out(70 * 4, "out");
  launch(block_votes, {{1}, {70}}, nullptr, out.data());
  const auto all = out.to_host();
  for (size_t thread = 0; thread < 70; ++thread) {
    EXPECT_EQ(std::vector<int>(all.begin() + thread * 4, all.begin() + thread * 4 + 4),
              (std::vector<int>{14, 1, 1, 0}));
  }
}

__global__ void names(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned size = blockDim.x * blockDim.y * blockDim.z;
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * size + thread] = block * 1000 + thread;
}

TEST(Collectives, EveryThreadOfEveryBlockRunsOnce) {
  for (const int workers : {1, 3}) {
    emulation::settings() = {5, workers};
    const DeviceArray<unsigned> out(2 * 3 * 4 * 30, "out");
    launch(names, {{2, 3, 4}, {5, 3, 2}}, nullptr, out.data());
    const auto all = out.to_host();
    for (unsigned i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], i / 30 * 1000 + i % 30);
  }
  emulation::settings() = {};
}

__global__ void dynamic(unsigned* out) {
  BITMILL_DYNAMIC_SHARED(unsigned, words);
  words[threadIdx.x] = threadIdx.x * 3;
  __syncthreads();
  out[threadIdx.x] = words[blockDim.x - 1 - threadIdx.x];
}

TEST(Collectives, DynamicSharedMemoryHasTheSizeOfTheLaunch) {
  const DeviceArray<unsigned> out(100, "out");
  launch(dynamic, {{1}, {100}, 400}, nullptr, out.data());
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(out.to_host()[i], (99 - i) * 3);
}

TEST(Collectives, AShapeThatCudaDoesNotHaveIsRefused) {
  const DeviceArray<unsigned> out(1, "out");
  using kernels::cudaErrorInvalidConfiguration;
  EXPECT_EQ(launch(names, {{0}, {32}}, nullptr, out.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(names, {{1}, {0}}, nullptr, out.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(names, {{1}, {1025}}, nullptr, out.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(names, {{1}, {1, 1, 65}}, nullptr, out.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(names, {{1, 65536}, {1}}, nullptr, out.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(names, {{1}, {1}, 227 * 1024 + 1}, nullptr, out.data()),
            cudaErrorInvalidConfiguration);
}

}  // namespace
}  // namespace bitmill

// What a block costs: this decides what can be tested on the emulator.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/planted_kernels.hpp"
#include "tests/emulation/block/stack.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill {
namespace {

using emulation::DeviceArray;
using kernels::launch;

// Ten shuffles, two barriers: a sum over a block of 256, as every reduction begins and ends.
__global__ void sum_block(const float* x, float* out) {
  BITMILL_SHARED(float, partial, [8]);
  const unsigned thread = threadIdx.x;
  float sum = x[blockIdx.x * 256 + thread];
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(~0U, sum, bits);
  if (thread % 32 == 0) partial[thread / 32] = sum;
  __syncthreads();
  float total = thread % 32 < 8 ? partial[thread % 32] : 0;
  for (int bits = 16; bits > 0; bits /= 2) total += __shfl_xor_sync(~0U, total, bits);
  __syncthreads();
  if (thread == 0) out[blockIdx.x] = total;
}

__global__ void scale(const float* x, float* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = 2 * x[i];
}

constexpr unsigned blocks = 8;

// Milliseconds of a block, the best of several launches: what else runs here does not count.
template <typename Launch>
double best_ms(Launch run) {
  double best = 1e9;
  for (int i = 0; i < 300; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double, std::milli> spent =
        std::chrono::steady_clock::now() - begin;
    best = std::min(best, spent.count() / blocks);
  }
  return best;
}

TEST(Speed, ABlockOf256ThreadsWithTwelveCollectivesTakesAtMostAFifthOfAMillisecond) {
  if (emulation::tsan::on) GTEST_SKIP() << "ThreadSanitizer is to find races, not to be quick";
  if (emulation::portable_switch()) GTEST_SKIP() << "swapcontext() makes system calls";
  const std::vector<float> ones(blocks * 256, 1.0F);
  const DeviceArray<float> x(ones, "x"), out(blocks, "out");
  const double ms = best_ms([&] {
    launch(sum_block, {{blocks}, {256}}, nullptr, x.data(), out.data());
  });
  std::printf("12 collectives, 256 threads: %.4f ms a block\n", ms);
  EXPECT_EQ(out.to_host(), std::vector<float>(blocks, 256.0F));
  EXPECT_LE(ms, 0.2);
}

TEST(Speed, AKernelWithoutCollectivesSwitchesNoStacks) {
  const DeviceArray<float> x(std::vector<float>(blocks * 256, 1.0F), "x"), out(blocks * 256, "out");
  const double ms = best_ms([&] {
    launch(scale, {{blocks}, {256}}, nullptr, x.data(), out.data());
  });
  std::printf("no collective, 256 threads: %.4f ms a block\n", ms);
  EXPECT_EQ(emulation::switches_of_last_grid(), 0U);
  EXPECT_EQ(out.to_host(), std::vector<float>(blocks * 256, 2.0F));
  launch(sum_block, {{1}, {256}}, nullptr, x.data(), out.data());
  EXPECT_GT(emulation::switches_of_last_grid(), 256U);
}

}  // namespace
}  // namespace bitmill

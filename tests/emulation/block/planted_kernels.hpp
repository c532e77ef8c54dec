#pragma once
// Small kernels, right and with one bug each, for the tests of the emulator.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/simt.hpp"
#include "kernels/tile.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/grid.hpp"
#include "tests/emulation/block/kernel_fault.hpp"

namespace bitmill::planted {

enum class Bug {
  none,
  missing_barrier,
  two_barriers,
  early_return,
  shuffle_outside_mask,
  shared_overrun,
  device_overrun,
  device_write_overrun,
  write_after_read,
  missing_wait,
  late_wait,
  missing_warp_barrier,
};

inline constexpr int threads = 128;
inline constexpr int warps = threads / 32;

// out[block] = sum of x[block, 0 to n). x float32 [blocks, n], out float32 [blocks].
template <Bug bug>
__global__ void sum_rows(const float* x, float* out, int n) {
  BITMILL_SHARED(float, partial, [warps]);
  const int thread = static_cast<int>(threadIdx.x);
  const float* const row = x + static_cast<int64_t>(blockIdx.x) * n;
  float sum = 0;
  const int end = bug == Bug::device_overrun && blockIdx.x + 1 == gridDim.x ? n + 1 : n;
  for (int i = thread; i < end; i += threads) sum += row[i];
  const bool outside = bug == Bug::shuffle_outside_mask && thread % 32 < 16;
  for (int bits = 16; bits > 0; bits /= 2) {
    sum += __shfl_xor_sync(outside ? 0xFFFFU : ~0U, sum, bits);
  }
  if (thread % 32 == 0) partial[thread / 32 + (bug == Bug::shared_overrun ? 1 : 0)] = sum;
  if (bug == Bug::early_return && thread == 77) return;
  if (bug == Bug::two_barriers && thread < 64) {
    __syncthreads();
  } else if (bug != Bug::missing_barrier) {
    __syncthreads();
  }
  if (thread == 0) {
    float total = 0;
    for (const float one : partial) total += one;
    out[blockIdx.x + (bug == Bug::device_write_overrun ? gridDim.x : 0)] = total;
  }
}

// One block. out[t] = (number of turns) + the thread's number after each of `turns` turns to the
// left; right only if nobody writes the tile before everybody has read it.
template <Bug bug>
__global__ void rotate(int* values, int turns) {
  BITMILL_SHARED(int, tile, [threads]);
  const int thread = static_cast<int>(threadIdx.x);
  int mine = values[thread];
  for (int turn = 0; turn < turns; ++turn) {
    tile[thread] = mine;
    __syncthreads();
    mine = tile[(thread + 1) % threads];
    if (bug != Bug::write_after_read) __syncthreads();
  }
  values[thread] = mine;
}

// One warp, the same with __syncwarp alone.
template <Bug bug>
__global__ void rotate_warp(int* values) {
  BITMILL_SHARED(int, tile, [32]);
  const int lane = static_cast<int>(threadIdx.x);
  tile[lane] = values[lane];
  if (bug != Bug::missing_warp_barrier) __syncwarp();
  values[lane] = tile[(lane + 1) % 32];
}

// One block of 32. out[i] = sum over the `steps` rows of x[steps, 32, 4]; the next row is on its
// way while one is added.
template <Bug bug>
__global__ void sum_staged(const float* x, float* out, int steps) {
  BITMILL_SHARED(float, stage, [2][32][4]);
  const int lane = static_cast<int>(threadIdx.x);
  float sum[4] = {};
  kernels::copy_async<16>(stage[0][lane], x + lane * 4);
  kernels::commit_copies();
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      kernels::copy_async<16>(stage[(step + 1) % 2][lane], x + ((step + 1) * 32 + lane) * 4);
    }
    kernels::commit_copies();
    if (bug != Bug::missing_wait && bug != Bug::late_wait) kernels::wait_copies<1>();
    for (int i = 0; i < 4; ++i) sum[i] += stage[step % 2][lane][i];
    if (bug == Bug::late_wait) kernels::wait_copies<1>();
  }
  if (bug != Bug::missing_wait) kernels::wait_copies<0>();
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = sum[i];
}

inline std::vector<float> run_sum_rows(void (*kernel)(const float*, float*, int), int rows, int n) {
  std::vector<float> x;
  for (int i = 0; i < rows * n; ++i) x.push_back(static_cast<float>(i * 7919 % 101 - 50));
  const emulation::DeviceArray<float> in(x, "x"), out(static_cast<size_t>(rows), "out");
  EXPECT_EQ(kernels::launch(kernel, {{static_cast<unsigned>(rows)}, {threads}}, nullptr, in.data(),
                            out.data(), n),
            kernels::cudaSuccess);
  return out.to_host();
}

// The same by a plain loop; the values are small integers, so every order gives the same sum.
inline std::vector<float> plain_sum_rows(int rows, int n) {
  std::vector<float> sums(static_cast<size_t>(rows), 0);
  for (int i = 0; i < rows * n; ++i) {
    sums[static_cast<size_t>(i / n)] += static_cast<float>(i * 7919 % 101 - 50);
  }
  return sums;
}

inline std::vector<int> run_rotate(void (*kernel)(int*, int), int turns) {
  std::vector<int> values;
  for (int i = 0; i < threads; ++i) values.push_back(i);
  const emulation::DeviceArray<int> array(values, "values");
  kernels::launch(kernel, {{1}, {threads}}, nullptr, array.data(), turns);
  return array.to_host();
}

inline std::vector<int> plain_rotate(int turns) {
  std::vector<int> values;
  for (int i = 0; i < threads; ++i) values.push_back((i + turns) % threads);
  return values;
}

inline std::vector<int> run_rotate_warp(void (*kernel)(int*)) {
  std::vector<int> values;
  for (int i = 0; i < 32; ++i) values.push_back(i);
  const emulation::DeviceArray<int> array(values, "values");
  kernels::launch(kernel, {{1}, {32}}, nullptr, array.data());
  return array.to_host();
}

inline std::vector<float> run_sum_staged(void (*kernel)(const float*, float*, int), int steps) {
  std::vector<float> x;
  for (int i = 0; i < steps * 128; ++i) x.push_back(static_cast<float>(i % 37));
  const emulation::DeviceArray<float> in(x, "x"), out(128, "out");
  kernels::launch(kernel, {{1}, {32}}, nullptr, in.data(), out.data(), steps);
  return out.to_host();
}

inline std::vector<float> plain_sum_staged(int steps) {
  std::vector<float> sums(128, 0);
  for (int i = 0; i < steps * 128; ++i)
    sums[static_cast<size_t>(i % 128)] += static_cast<float>(i % 37);
  return sums;
}

// What the emulator says of a kernel that does what CUDA does not define; "" when it says nothing.
template <typename Run>
std::string fault_of(Run run) {
  try {
    run();
  } catch (const emulation::KernelFault& fault) {
    return fault.what();
  }
  return "";
}

}  // namespace bitmill::planted

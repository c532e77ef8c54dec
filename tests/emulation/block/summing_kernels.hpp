#pragma once
// A kernel with twelve collectives and one without: what a block costs depends on that.

#include "kernels/simt.hpp"

namespace bitmill::emulation {

// Ten shuffles, two barriers: a sum over a block of 256, as every reduction begins and ends.
__global__ inline void sum_block(const float* x, float* out) {
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

__global__ inline void scale(const float* x, float* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = 2 * x[i];
}

}  // namespace bitmill::emulation

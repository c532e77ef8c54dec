// A kernel that needs more registers than its launch bounds leave it: for the test that shows that
// a spill is found. Nobody launches it.

#include <cstdint>

namespace bitmill {

// out[t] = a sum for which 96 values are alive at once, where 1,024 threads leave 64 registers.
__global__ void __launch_bounds__(1024) spilling(const float* x, float* out) {
  float value[96];
#pragma unroll
  for (int i = 0; i < 96; ++i) value[i] = x[threadIdx.x + i * 1024];
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 96; ++i) sum += value[i] * value[(i * 37 + 11) % 96] * value[95 - i];
  out[threadIdx.x] = sum;
}

}  // namespace bitmill

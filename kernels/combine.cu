#include "kernels/combine.hpp"

#include "format/packed_layout.hpp"
#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 tokens x 512 rows of the weight (128 where rows % 4 != 0). Bound by memory: it reads u
// and w and writes y. A thread keeps the factors of its four neighbouring rows in registers for all
// tokens; they are read once per tile, 3% of u and w in bfloat16. Four tokens are under way at a
// time.
constexpr int tokens_per_block = 64;
constexpr int tokens_ahead = 4;
constexpr int threads = 128;
static_assert(tokens_per_block <= threads);

template <typename T, int width>
__global__ void __launch_bounds__(threads) combine_kernel(Combine task, int64_t tiles_across) {
  BITMILL_SHARED(float, low_sums, [tokens_per_block]);
  const int64_t first_token = blockIdx.x / tiles_across * tokens_per_block;
  const int64_t row = (blockIdx.x % tiles_across * threads + threadIdx.x) * width;
  const int64_t last = first_token + tokens_per_block;
  const int64_t end = last < task.tokens ? last : task.tokens;
  const int thread = threadIdx.x;
  if (first_token + thread < end) low_sums[thread] = task.low_sum[first_token + thread];
  __syncthreads();
  if (row >= task.rows) return;
  float row_factor[width], mean_factor[width], code_scale[width];
  load(task.row_factor + row, row_factor);
  load(task.mean_factor + row, mean_factor);
  load(task.code_scale + row, code_scale);
  for (int64_t token = first_token; token < end; token += tokens_ahead) {
    float u[tokens_ahead][width], w[tokens_ahead][width], v[tokens_ahead];
#pragma unroll
    for (int s = 0; s < tokens_ahead; ++s) {
      if (token + s >= end) continue;
      const int64_t place = (token + s) * task.rows + row;
      load(static_cast<const T*>(task.low_product) + place, u[s]);
      load(static_cast<const T*>(task.salient_product) + place, w[s]);
      v[s] = low_sums[token + s - first_token];
    }
#pragma unroll
    for (int s = 0; s < tokens_ahead; ++s) {
      if (token + s >= end) continue;
      float y[width];
#pragma unroll
      for (int i = 0; i < width; ++i) {
        y[i] = (row_factor[i] * u[s][i] + mean_factor[i] * v[s]) + code_scale[i] * w[s][i];
      }
      store(static_cast<T*>(task.y) + (token + s) * task.rows + row, y);
    }
  }
}

}  // namespace

cudaError_t combine(const Combine& task, cudaStream_t stream) {
  if (task.tokens < 0 || task.rows < 0) return cudaErrorInvalidValue;
  if (task.tokens * task.rows == 0) return cudaSuccess;
  return with_element_and_width(task.element, task.rows, [&](auto zero, auto width) {
    const int64_t across = packed::words_for(task.rows, threads * width.value);
    const int64_t blocks = packed::words_for(task.tokens, tokens_per_block) * across;
    if (blocks > INT32_MAX) return cudaErrorInvalidValue;
    return launch(combine_kernel<decltype(zero), width.value>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task, across);
  });
}

}  // namespace bitmill::kernels

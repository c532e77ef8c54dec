#include "kernels/split_gradient.hpp"

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 tokens x 512 rows of the weight (128 where rows % 4 != 0). Bound by memory: it reads g
// and u, and w where s is learned, and writes the two gradients. A thread keeps the factors and the
// sums of its four neighbouring rows in registers for all tokens; the tables are 2% of the rest in
// bfloat16. Tokens are under way two or four at a time.
constexpr int warps = 4;
constexpr int threads = warps * 32;
static_assert(threads * 4 == rows_per_tile && tokens_per_tile <= threads);

// What of a row is kept, for `width` neighbouring ones.
template <int width>
struct RowFactors {
  float row[width], mean[width], code[width];
};
template <int width>
struct RowSums {
  float scale[width], mean[width], code[width];
};

template <typename T, int width, bool with_codes>
__device__ void split_tokens(const SplitGradient& task, int64_t row, const float* low_sums,
                             int64_t first_token, int tokens, const RowFactors<width>& factors,
                             RowSums<width>& sums, float (*warp_means)[tokens_per_tile]) {
  constexpr int ahead = with_codes ? 2 : 4;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const bool here = row < task.rows;
  for (int token = 0; token < tokens; token += ahead) {
    float g[ahead][width], u[ahead][width], w[ahead][width];
#pragma unroll
    for (int s = 0; s < ahead; ++s) {
      if (!here || token + s >= tokens) continue;
      const int64_t place = (first_token + token + s) * task.rows + row;
      load(static_cast<const T*>(task.gradient) + place, g[s]);
      load(static_cast<const T*>(task.low_product) + place, u[s]);
      if (with_codes) load(static_cast<const T*>(task.salient_product) + place, w[s]);
    }
#pragma unroll
    for (int s = 0; s < ahead; ++s) {
      if (token + s >= tokens) break;  // the same for all threads
      float mean = 0;
      if (here) {
        const float v = low_sums[token + s];
        float low[width], salient[width];
#pragma unroll
        for (int i = 0; i < width; ++i) {
          low[i] = factors.row[i] * g[s][i];
          salient[i] = factors.code[i] * g[s][i];
          sums.scale[i] += g[s][i] * u[s][i];
          sums.mean[i] += g[s][i] * v;
          if (with_codes) sums.code[i] += g[s][i] * w[s][i];
          mean += factors.mean[i] * g[s][i];
        }
        const int64_t place = (first_token + token + s) * task.rows + row;
        store(static_cast<T*>(task.low_gradient) + place, low);
        if (task.salient_gradient != nullptr) {
          store(static_cast<T*>(task.salient_gradient) + place, salient);
        }
      }
      mean = warp_sum(mean);
      if (lane == 0) warp_means[warp][token + s] = mean;
    }
  }
}

template <typename T, int width, bool with_codes>
__global__ void __launch_bounds__(threads)
    split_gradient_kernel(SplitGradient task, int64_t tiles_across) {
  BITMILL_SHARED(float, low_sums, [tokens_per_tile]);
  BITMILL_SHARED(float, warp_means, [warps][tokens_per_tile]);
  const int thread = threadIdx.x;
  const int64_t tile_across = blockIdx.x % tiles_across, tile_down = blockIdx.x / tiles_across;
  const int64_t row = (tile_across * threads + thread) * width;
  const int64_t first_token = tile_down * tokens_per_tile;
  const int64_t tokens_left = task.tokens - first_token;
  const int tokens =
      tokens_left < tokens_per_tile ? static_cast<int>(tokens_left) : int{tokens_per_tile};
  if (thread < tokens) low_sums[thread] = task.low_sum[first_token + thread];
  RowFactors<width> factors = {};
  RowSums<width> sums = {};
  if (row < task.rows) {
    load(task.row_factor + row, factors.row);
    load(task.mean_factor + row, factors.mean);
    if (task.salient_gradient != nullptr) load(task.code_scale + row, factors.code);
  }
  __syncthreads();
  split_tokens<T, width, with_codes>(task, row, low_sums, first_token, tokens, factors, sums,
                                     warp_means);
  __syncthreads();
  if (thread < tokens) {
    float sum = 0;
    for (int warp = 0; warp < warps; ++warp) sum += warp_means[warp][thread];
    task.mean_gradient[tile_across * task.tokens + first_token + thread] = sum;
  }
  if (row >= task.rows) return;
  store(task.scale_sum + tile_down * task.rows + row, sums.scale);
  store(task.mean_sum + tile_down * task.rows + row, sums.mean);
  if (with_codes) store(task.code_scale_sum + tile_down * task.rows + row, sums.code);
}

}  // namespace

cudaError_t split_gradient(const SplitGradient& task, cudaStream_t stream) {
  if (task.tokens < 0 || task.rows < 0) return cudaErrorInvalidValue;
  if (task.tokens * task.rows == 0) return cudaSuccess;
  const int64_t across = row_tiles(task.rows);
  const int64_t blocks = token_tiles(task.tokens) * across;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  const LaunchShape shape{{static_cast<unsigned>(blocks)}, {threads}};
  return with_element_and_width(task.element, task.rows, [&](auto zero, auto width) {
    using T = decltype(zero);
    return task.code_scale_sum != nullptr
               ? launch(split_gradient_kernel<T, width.value, true>, shape, stream, task, across)
               : launch(split_gradient_kernel<T, width.value, false>, shape, stream, task, across);
  });
}

}  // namespace bitmill::kernels

#include "kernels/scatter.hpp"

#include "kernels/column_tile.hpp"
#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 tokens x 1,024 source columns. Bound by memory: it reads x and both products and writes
// dx. A thread keeps its four columns' gains, slots and sums in registers for all tokens. The
// products of four tokens are copied to shared memory while the four before are worked on.
constexpr int tokens_per_stage = 4;
constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int columns_per_thread = columns_per_tile / threads;
static_assert(warps == 2 * tokens_per_stage);  // a warp copies one stretch of one token
static_assert(tokens_per_tile % tokens_per_stage == 0 && tokens_per_tile <= threads);

// One token's stretch, by one warp; a little more than the stretch, up to whole accesses.
template <typename T>
__device__ void copy_stretch(const Stretch& stretch, const T* row, T* slots) {
  constexpr int per_access = 16 / sizeof(T);
  for (int column = stretch.first + static_cast<int>(threadIdx.x % 32) * per_access;
       column < stretch.end; column += 32 * per_access) {
    copy_async<16>(slots + stretch.slot + column - stretch.first, row + column);
  }
}

template <int unit, typename T>
__device__ void write_gradient(T* to, const float* from) {
  if constexpr (unit == 2) {
    *reinterpret_cast<uint32_t*>(to) = round_to_bf16(from[0], from[1]);
  } else {
    *to = rounded<T>(from[0]);
  }
}

template <typename T, int unit, bool with_x_gradient>
__global__ void __launch_bounds__(threads) scatter_kernel(Scatter task, int64_t tiles_across) {
  BITMILL_SHARED(T, slots, [2][tokens_per_stage][slots_per_token]);
  BITMILL_SHARED(float, gains, [columns_per_tile]);
  BITMILL_SHARED(float, means, [tokens_per_tile]);
  BITMILL_SHARED(TileWords, words, [1]);
  const int thread = threadIdx.x, warp = thread / 32;
  const int64_t tile_across = blockIdx.x % tiles_across, tile_down = blockIdx.x / tiles_across;
  const int64_t first_token = tile_down * tokens_per_tile;
  const int64_t tokens_left = task.tokens - first_token;
  const int tokens =
      tokens_left < tokens_per_tile ? static_cast<int>(tokens_left) : int{tokens_per_tile};

  if (warp == 0) read_words(task.split, tile_across, words[0]);
  if (thread < tokens) means[thread] = task.mean_gradient[first_token + thread];
  __syncthreads();
  const ColumnTile tile = column_tile(task.split, tile_across, words[0], 0, 0, /*padding=*/false);
  read_gains<threads>(tile, words[0], task.col_gain, gains);
  int source[columns_per_thread];
  ColumnPlace place[columns_per_thread];
  float gain[columns_per_thread], gain_sum[columns_per_thread] = {};
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    source[i] = tile.first + (i / unit * threads + thread) * unit + i % unit;
    place[i] = place_of(tile, words[0], source[i]);
    if (i % unit == 0) read_gain<unit>(gains, source[i] - tile.first, &gain[i]);
  }

  const auto fetch = [&](int token, int buffer) {
    const int mine = token + warp % tokens_per_stage;
    if (mine < tokens) {
      T* const staged = slots[buffer][warp % tokens_per_stage];
      const int64_t row = first_token + mine;
      if (warp < tokens_per_stage) {
        copy_stretch(tile.low, static_cast<const T*>(task.low_product) + row * task.low_stride,
                     staged);
      } else if (with_x_gradient) {
        copy_stretch(tile.salient,
                     static_cast<const T*>(task.salient_product) + row * task.salient_stride,
                     staged);
      }
    }
    commit_copies();
  };

  fetch(0, 0);
  for (int token = 0; token < tokens; token += tokens_per_stage) {
    const int buffer = token / tokens_per_stage % 2;
    float x[tokens_per_stage][columns_per_thread];
#pragma unroll
    for (int s = 0; s < tokens_per_stage; ++s) {
      const bool here = token + s < tokens;
      const T* const row =
          static_cast<const T*>(task.x) + (first_token + token + s) * task.split.cols;
#pragma unroll
      for (int i = 0; i < columns_per_thread; i += unit) {
        read_x<unit>(row, source[i], here ? tile.end : 0, &x[s][i]);
      }
    }
    wait_copies<0>();
    __syncthreads();  // everybody's copies are there, and the other buffer has been read
    fetch(token + tokens_per_stage, 1 - buffer);
#pragma unroll
    for (int s = 0; s < tokens_per_stage; ++s) {
      const bool here = token + s < tokens;
      const T* const staged = slots[buffer][s];
      const float mean = here ? means[token + s] : 0.0F;
      float gradient[columns_per_thread];
#pragma unroll
      for (int i = 0; i < columns_per_thread; ++i) {
        gradient[i] = 0;
        if (here && place[i].is_low) {
          const float d = widened(staged[place[i].slot]) + mean;
          gain_sum[i] += x[s][i] * d;
          gradient[i] = gain[i] * d;
        }
        __syncwarp();  // one load for both kinds of columns would meet itself in a bank
        if (with_x_gradient && here && place[i].is_salient) {
          gradient[i] = widened(staged[place[i].slot]);
        }
      }
      if (!with_x_gradient) continue;
      T* const row = static_cast<T*>(task.x_gradient) + (first_token + token + s) * task.split.cols;
#pragma unroll
      for (int i = 0; i < columns_per_thread; i += unit) {
        if (here && source[i] < tile.end) write_gradient<unit>(row + source[i], &gradient[i]);
      }
    }
  }
  wait_copies<0>();
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    if (place[i].is_low) {
      task.col_gain_sum[tile_down * task.split.low + place[i].column] = gain_sum[i];
    }
  }
}

template <typename T, int unit>
cudaError_t launch_scatter(const Scatter& task, const LaunchShape& shape, int64_t across,
                           cudaStream_t stream) {
  return task.x_gradient != nullptr
             ? launch(scatter_kernel<T, unit, true>, shape, stream, task, across)
             : launch(scatter_kernel<T, unit, false>, shape, stream, task, across);
}

}  // namespace

cudaError_t scatter(const Scatter& task, cudaStream_t stream) {
  const ColumnSplit& split = task.split;
  if (task.tokens < 0 || !is_split(split) || !is_operand_stride(task.low_stride, split.low) ||
      (task.x_gradient != nullptr &&
       !is_operand_stride(task.salient_stride, split.cols - split.low))) {
    return cudaErrorInvalidValue;
  }
  if (task.tokens * split.cols == 0) return cudaSuccess;
  const int64_t across = column_tiles(split.cols);
  const int64_t tiles = token_tiles(task.tokens) * across;
  if (tiles > INT32_MAX) return cudaErrorInvalidValue;
  const LaunchShape shape{{static_cast<unsigned>(tiles)}, {threads}};
  if (task.element == Element::float32)
    return launch_scatter<float, 1>(task, shape, across, stream);
  return split.cols % 2 == 0 ? launch_scatter<Bf16, 2>(task, shape, across, stream)
                             : launch_scatter<Bf16, 1>(task, shape, across, stream);
}

}  // namespace bitmill::kernels

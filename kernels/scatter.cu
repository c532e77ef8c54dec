#include "kernels/scatter.hpp"

#include "kernels/column_tile.hpp"
#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 tokens x 1,024 source columns. Bound by memory: it reads x and both products and writes
// dx. A thread keeps its four columns' gains, slots and sums in registers for all tokens. The
// products of four tokens are copied to shared memory while the four before are worked on.
static_assert(tokens_per_tile % tokens_per_stage == 0 && tokens_per_tile <= tile_threads);

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

// Copies the products of `tokens` tokens from `first` on, as a group of late copies.
template <typename T, bool with_x_gradient>
__device__ void copy_stage(const Scatter& task, const ColumnTile& tile, int64_t first, int tokens,
                           T (&slots)[tokens_per_stage][slots_per_token]) {
  const int warp = static_cast<int>(threadIdx.x / 32), mine = warp % tokens_per_stage;
  if (mine < tokens && warp < tokens_per_stage) {
    copy_stretch(tile.low,
                 static_cast<const T*>(task.low_product) + (first + mine) * task.low_stride,
                 slots[mine]);
  } else if (mine < tokens && with_x_gradient) {
    copy_stretch(tile.salient,
                 static_cast<const T*>(task.salient_product) + (first + mine) * task.salient_stride,
                 slots[mine]);
  }
  commit_copies();
}

// One token: adds to the sums for r2, and fills in dx of this thread's columns.
template <typename T, bool with_x_gradient>
__device__ __forceinline__ void gradient_of_token(const float (&x)[columns_per_thread], float mean,
                                                  const T (&slots)[slots_per_token],
                                                  const ThreadColumns& mine,
                                                  float (&gain_sum)[columns_per_thread],
                                                  float (&gradient)[columns_per_thread]) {
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    const ColumnPlace& place = mine.place[i];
    gradient[i] = 0;
    if (place.is_low) {
      const float d = widened(slots[place.slot]) + mean;
      gain_sum[i] += x[i] * d;
      gradient[i] = mine.gain[i] * d;
    }
    __syncwarp();  // one load for both kinds of columns would meet itself in a bank
    if (with_x_gradient && place.is_salient) gradient[i] = widened(slots[place.slot]);
  }
}

template <typename T, int unit, bool with_x_gradient>
__global__ void __launch_bounds__(tile_threads) scatter_kernel(Scatter task, int64_t tiles_across) {
  BITMILL_SHARED(T, slots, [2][tokens_per_stage][slots_per_token]);
  BITMILL_SHARED(float, gains, [columns_per_tile]);
  BITMILL_SHARED(float, means, [tokens_per_tile]);
  BITMILL_SHARED(TileWords, words, [1]);
  const int thread = threadIdx.x;
  const int64_t tile_across = blockIdx.x % tiles_across, tile_down = blockIdx.x / tiles_across;
  const int64_t first_token = tile_down * tokens_per_tile, cols = task.split.cols;
  const int64_t tokens_left = task.tokens - first_token;
  const int tokens =
      tokens_left < tokens_per_tile ? static_cast<int>(tokens_left) : int{tokens_per_tile};

  if (thread < 32) read_words(task.split, tile_across, words[0]);
  if (thread < tokens) means[thread] = task.mean_gradient[first_token + thread];
  __syncthreads();
  const ColumnTile tile = column_tile(task.split, tile_across, words[0], 0, 0, /*padding=*/false);
  read_gains(tile, words[0], task.col_gain, gains);
  const ThreadColumns mine = thread_columns<unit>(tile, words[0], gains);
  float gain_sum[columns_per_thread] = {};

  copy_stage<T, with_x_gradient>(task, tile, first_token, tokens, slots[0]);
  for (int token = 0; token < tokens; token += tokens_per_stage) {
    const int buffer = token / tokens_per_stage % 2, left = tokens - token;
    float x[tokens_per_stage][columns_per_thread];
    read_stage<unit>(static_cast<const T*>(task.x) + (first_token + token) * cols, cols, left, tile,
                     mine, x);
    wait_copies<0>();
    __syncthreads();  // everybody's copies are there, and the other buffer has been read
    copy_stage<T, with_x_gradient>(task, tile, first_token + token + tokens_per_stage,
                                   left - tokens_per_stage, slots[1 - buffer]);
#pragma unroll
    for (int s = 0; s < tokens_per_stage; ++s) {
      if (s >= left) continue;  // the same for all threads
      float gradient[columns_per_thread];
      gradient_of_token<T, with_x_gradient>(x[s], means[token + s], slots[buffer][s], mine,
                                            gain_sum, gradient);
      if (!with_x_gradient) continue;
      T* const row = static_cast<T*>(task.x_gradient) + (first_token + token + s) * cols;
#pragma unroll
      for (int i = 0; i < columns_per_thread; i += unit) {
        if (mine.source[i] < tile.end) write_gradient<unit>(row + mine.source[i], &gradient[i]);
      }
    }
  }
  wait_copies<0>();
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    if (!mine.place[i].is_low) continue;
    task.col_gain_sum[tile_down * task.split.low + mine.place[i].column] = gain_sum[i];
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
  const LaunchShape shape{{static_cast<unsigned>(tiles)}, {tile_threads}};
  if (task.element == Element::float32)
    return launch_scatter<float, 1>(task, shape, across, stream);
  return split.cols % 2 == 0 ? launch_scatter<Bf16, 2>(task, shape, across, stream)
                             : launch_scatter<Bf16, 1>(task, shape, across, stream);
}

}  // namespace bitmill::kernels

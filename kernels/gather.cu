#include "kernels/gather.hpp"

#include "kernels/column_tile.hpp"
#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 32 tokens x 1,024 source columns. Bound by reading x and writing the operands: as many
// bytes each. A thread keeps its four columns' gains and slots in registers for all tokens. x is
// read as it lies; the columns are sorted in shared memory, four tokens at a time, and leave as
// whole sectors. Gains and masks are read once per tile, which is 3% of x in bfloat16.
constexpr int tokens_per_block = 32;
constexpr int tokens_per_stage = 4;
constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int columns_per_thread = columns_per_tile / threads;
static_assert(warps == 2 * tokens_per_stage);  // a warp writes one stretch of one token

// One token's stretch, by one warp: whole sectors 16 bytes at a time, then the columns before and
// behind them in one access. A sector that two tiles share is written twice, each time in part.
template <typename T>
__device__ void write_stretch(const Stretch& stretch, const T* slots, T* row) {
  constexpr int per_sector = 32 / sizeof(T), per_access = 16 / sizeof(T);
  const int lane = threadIdx.x % 32;
  const T* const staged = slots + stretch.slot - stretch.first;  // by the operand's column
  const int sectors_begin = (stretch.begin + per_sector - 1) / per_sector * per_sector;
  const int sectors_end = stretch.end / per_sector * per_sector;
  for (int column = sectors_begin + lane * per_access; column < sectors_end;
       column += 32 * per_access) {
    store16(row + column, load16(staged + column));
  }
  const int head_end = sectors_begin < stretch.end ? sectors_begin : stretch.end;
  const int tail = sectors_end > head_end ? sectors_end : head_end;
  const int column = lane < per_sector ? stretch.begin + lane : tail + lane - per_sector;
  if (column < (lane < per_sector ? head_end : stretch.end)) row[column] = staged[column];
}

template <typename T, int unit>
__global__ void __launch_bounds__(threads) gather_kernel(Gather task, int64_t tiles_across) {
  BITMILL_SHARED(T, slots, [tokens_per_stage][slots_per_token]);
  BITMILL_SHARED(float, gains, [columns_per_tile]);
  BITMILL_SHARED(float, warp_sums, [tokens_per_stage][warps]);
  BITMILL_SHARED(TileWords, words, [1]);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int64_t column_tile_index = blockIdx.x % tiles_across;
  const int64_t first_token = blockIdx.x / tiles_across * tokens_per_block;
  const int64_t tokens_left = task.tokens - first_token;
  const int tokens =
      tokens_left < tokens_per_block ? static_cast<int>(tokens_left) : tokens_per_block;

  if (warp == 0) read_words(task.split, column_tile_index, words[0]);
  __syncthreads();
  const ColumnTile tile = column_tile(task.split, column_tile_index, words[0], task.low_stride,
                                      task.salient_stride, /*padding=*/true);
  for (int i = thread; i < tokens_per_stage * slots_per_token; i += threads) {
    slots[i / slots_per_token][i % slots_per_token] = rounded<T>(0.0F);  // padding stays so
  }
  read_gains<threads>(tile, words[0], task.col_gain, gains);

  int source[columns_per_thread];
  ColumnPlace place[columns_per_thread];
  float gain[columns_per_thread];
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    source[i] = tile.first + (i / unit * threads + thread) * unit + i % unit;
    place[i] = place_of(tile, words[0], source[i]);
    if (i % unit == 0) read_gain<unit>(gains, source[i] - tile.first, &gain[i]);
  }

  for (int token = 0; token < tokens; token += tokens_per_stage) {
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
    __syncthreads();  // the stage before has left
#pragma unroll
    for (int s = 0; s < tokens_per_stage; ++s) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < columns_per_thread; ++i) {
        const T low = rounded<T>(x[s][i] * gain[i]);
        if (place[i].is_low) {
          slots[s][place[i].slot] = low;
          sum += widened(low);
        }
        __syncwarp();  // one store for both kinds of columns would meet itself in a bank
        if (place[i].is_salient) slots[s][place[i].slot] = rounded<T>(x[s][i]);
      }
      sum = warp_sum(sum);
      if (lane == 0) warp_sums[s][warp] = sum;
    }
    __syncthreads();
    const int mine = token + warp % tokens_per_stage;
    if (mine < tokens) {
      const T* const staged = slots[warp % tokens_per_stage];
      if (warp < tokens_per_stage) {
        write_stretch(tile.low, staged,
                      static_cast<T*>(task.low) + (first_token + mine) * task.low_stride);
      } else if (task.salient != nullptr) {
        write_stretch(tile.salient, staged,
                      static_cast<T*>(task.salient) + (first_token + mine) * task.salient_stride);
      }
    }
    if (task.low_sum != nullptr && thread < tokens_per_stage && token + thread < tokens) {
      float sum = 0;
      for (int w = 0; w < warps; ++w) sum += warp_sums[thread][w];
      task.low_sum[column_tile_index * task.tokens + first_token + token + thread] = sum;
    }
  }
}

}  // namespace

cudaError_t gather(const Gather& task, cudaStream_t stream) {
  const ColumnSplit& split = task.split;
  if (task.tokens < 0 || !is_split(split) || !is_operand_stride(task.low_stride, split.low) ||
      (task.salient != nullptr &&
       !is_operand_stride(task.salient_stride, split.cols - split.low))) {
    return cudaErrorInvalidValue;
  }
  if (task.tokens * split.cols == 0) return cudaSuccess;
  const int64_t across = column_tiles(split.cols);
  const int64_t tiles = packed::words_for(task.tokens, tokens_per_block) * across;
  if (tiles > INT32_MAX) return cudaErrorInvalidValue;
  const LaunchShape shape{{static_cast<unsigned>(tiles)}, {threads}};
  Gather checked = task;
  if (task.salient == nullptr) checked.salient_stride = split.cols - split.low;
  if (task.element == Element::float32) {
    return launch(gather_kernel<float, 1>, shape, stream, checked, across);
  }
  return split.cols % 2 == 0 ? launch(gather_kernel<Bf16, 2>, shape, stream, checked, across)
                             : launch(gather_kernel<Bf16, 1>, shape, stream, checked, across);
}

}  // namespace bitmill::kernels

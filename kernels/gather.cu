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

// Sorts the columns of one token into its slots. Returns the sum of this thread's low ones.
template <typename T>
__device__ __forceinline__ float sort_token(const float (&x)[columns_per_thread],
                                            const ThreadColumns& mine,
                                            T (&slots)[slots_per_token]) {
  float sum = 0;
#pragma unroll
  for (int i = 0; i < columns_per_thread; ++i) {
    const ColumnPlace& place = mine.place[i];
    const T low = rounded<T>(x[i] * mine.gain[i]);
    if (place.is_low) {
      slots[place.slot] = low;
      sum += widened(low);
    }
    __syncwarp();  // one store for both kinds of columns would meet itself in a bank
    if (place.is_salient) slots[place.slot] = rounded<T>(x[i]);
  }
  return sum;
}

// Writes the stretches of `tokens` staged tokens from `first` on, and their sums to the table's
// row.
template <typename T>
__device__ void write_stage(const Gather& task, const ColumnTile& tile, int64_t first, int tokens,
                            const T (&slots)[tokens_per_stage][slots_per_token],
                            const float (&warp_sums)[tokens_per_stage][tile_warps],
                            int64_t tile_across) {
  const int thread = threadIdx.x, warp = thread / 32, mine = warp % tokens_per_stage;
  if (mine < tokens && warp < tokens_per_stage) {
    write_stretch(tile.low, slots[mine],
                  static_cast<T*>(task.low) + (first + mine) * task.low_stride);
  } else if (mine < tokens && task.salient != nullptr) {
    write_stretch(tile.salient, slots[mine],
                  static_cast<T*>(task.salient) + (first + mine) * task.salient_stride);
  }
  if (task.low_sum == nullptr || thread >= tokens) return;
  float sum = 0;
  for (int w = 0; w < tile_warps; ++w) sum += warp_sums[thread][w];
  task.low_sum[tile_across * task.tokens + first + thread] = sum;
}

template <typename T, int unit>
__global__ void __launch_bounds__(tile_threads) gather_kernel(Gather task, int64_t tiles_across) {
  BITMILL_SHARED(T, slots, [tokens_per_stage][slots_per_token]);
  BITMILL_SHARED(float, gains, [columns_per_tile]);
  BITMILL_SHARED(float, warp_sums, [tokens_per_stage][tile_warps]);
  BITMILL_SHARED(TileWords, words, [1]);
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  const int64_t tile_across = blockIdx.x % tiles_across;
  const int64_t first_token = blockIdx.x / tiles_across * tokens_per_block;
  const int64_t last = first_token + tokens_per_block;
  const int64_t end = last < task.tokens ? last : task.tokens;

  if (warp == 0) read_words(task.split, tile_across, words[0]);
  __syncthreads();
  const ColumnTile tile = column_tile(task.split, tile_across, words[0], task.low_stride,
                                      task.salient_stride, /*padding=*/true);
  for (int i = thread; i < tokens_per_stage * slots_per_token; i += tile_threads) {
    slots[i / slots_per_token][i % slots_per_token] = rounded<T>(0.0F);  // padding stays so
  }
  read_gains(tile, words[0], task.col_gain, gains);
  const ThreadColumns mine = thread_columns<unit>(tile, words[0], gains);

  for (int64_t token = first_token; token < end; token += tokens_per_stage) {
    const int left = static_cast<int>(end - token);
    const int tokens = left < tokens_per_stage ? left : tokens_per_stage;
    float x[tokens_per_stage][columns_per_thread];
    read_stage<unit>(static_cast<const T*>(task.x) + token * task.split.cols, task.split.cols,
                     tokens, tile, mine, x);
    __syncthreads();  // the stage before has left
#pragma unroll
    for (int s = 0; s < tokens_per_stage; ++s) {
      const float sum = warp_sum(sort_token(x[s], mine, slots[s]));
      if (lane == 0) warp_sums[s][warp] = sum;
    }
    __syncthreads();
    write_stage(task, tile, token, tokens, slots, warp_sums, tile_across);
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
  const LaunchShape shape{{static_cast<unsigned>(tiles)}, {tile_threads}};
  Gather checked = task;
  if (task.salient == nullptr) checked.salient_stride = split.cols - split.low;
  if (task.element == Element::float32) {
    return launch(gather_kernel<float, 1>, shape, stream, checked, across);
  }
  return split.cols % 2 == 0 ? launch(gather_kernel<Bf16, 2>, shape, stream, checked, across)
                             : launch(gather_kernel<Bf16, 1>, shape, stream, checked, across);
}

}  // namespace bitmill::kernels

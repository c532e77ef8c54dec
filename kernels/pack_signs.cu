#include "kernels/pack_signs.hpp"

#include "kernels/simt.hpp"

namespace bitmill::kernels {
namespace {

// Tile: a block packs 64 rows x 32 words, which is 64 x 1,024 low columns.
//
// Bound by reading `weight`. So its rows are read as they lie, 32 source columns by a warp, salient
// ones between them too: a sector of 8 columns without a low one is rare. Each warp votes on its 32
// columns; from these bits in shared memory the words are put together. `columns` is read once for
// 64 rows, and words leave 32 at a time.
constexpr int rows_per_tile = 64;
constexpr int words_per_tile = 32;
constexpr int warps = 8;
constexpr int lanes = 32;
constexpr int words_per_warp = words_per_tile / warps;
// 1,024 low columns among 1,536: more salient ones than a third take a second pass.
constexpr int groups_per_pass = 48;  // of 32 source columns
constexpr int columns_per_pass = groups_per_pass * lanes;
constexpr unsigned all_lanes = ~0U;

// high[row, group]: bit b is 1 where source column base + 32 group + b is at or above the row's
// mean. Columns after `last` are not read.
__device__ void vote(const PackSigns& task, int64_t first_row, int rows, int64_t base, int64_t last,
                     uint32_t (&high)[rows_per_tile][groups_per_pass]) {
  const int lane = threadIdx.x % lanes, warp = threadIdx.x / lanes;
  for (int row = warp; row < rows; row += warps) {
    const float* const weight = task.weight + (first_row + row) * task.cols;
    const float mean = task.mean[first_row + row];
    for (int group = 0; group < groups_per_pass && base + group * lanes <= last; ++group) {
      const int64_t column = base + group * lanes + lane;
      const unsigned bits = __ballot_sync(all_lanes, column <= last && weight[column] >= mean);
      if (lane == 0) high[row][group] = bits;
    }
  }
}

// One row's 32 bits of a word: each lane brings the bit of its column, if this pass has it.
__device__ uint32_t gather(const uint32_t (&high)[groups_per_pass], int64_t place) {
  const bool here = place >= 0 && place < columns_per_pass;
  return __ballot_sync(all_lanes, here && (high[place / lanes] >> (place % lanes) & 1U) != 0);
}

__global__ void __launch_bounds__(warps* lanes)
    pack_signs_kernel(PackSigns task, int64_t row_words, int64_t tiles_across) {
  BITMILL_SHARED(uint32_t, high, [rows_per_tile][groups_per_pass]);
  // One more, so that a column of words lies in 32 different banks.
  BITMILL_SHARED(uint32_t, packed_words, [rows_per_tile][words_per_tile + 1]);
  const int lane = threadIdx.x % lanes, warp = threadIdx.x / lanes;
  const int64_t first_row = blockIdx.x / tiles_across * rows_per_tile;
  const int64_t first_word = blockIdx.x % tiles_across * words_per_tile;
  const int64_t rows_left = task.rows - first_row;
  const int rows = rows_left < rows_per_tile ? static_cast<int>(rows_left) : rows_per_tile;

  // The lane's source column in each word of its warp; -1 after the last low column.
  int32_t column[words_per_warp];
  for (int i = 0; i < words_per_warp; ++i) {
    const int64_t low = (first_word + warp + i * warps) * lanes + lane;
    column[i] = low < task.low_cols ? task.columns[low] : -1;
  }
  const int64_t first_low = first_word * lanes, low_end = first_low + words_per_tile * lanes;
  const int64_t first = task.columns[first_low];
  const int64_t last = task.columns[(low_end < task.low_cols ? low_end : task.low_cols) - 1];

  // A warp's words of rows lane and lane + 32, of all passes so far.
  uint32_t word[words_per_warp][2] = {};
  for (int64_t base = first / 8 * 8; base <= last; base += columns_per_pass) {  // whole sectors
    vote(task, first_row, rows, base, last, high);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < words_per_warp; ++i) {
      const int64_t place = column[i] - base;
      for (int row = 0; row < rows; ++row) {
        const uint32_t bits = gather(high[row], place);
        if (row % lanes == lane) word[i][0] |= row < lanes ? bits : 0;
        if (row % lanes == lane) word[i][1] |= row < lanes ? 0 : bits;
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < words_per_warp; ++i) {
    packed_words[lane][warp + i * warps] = word[i][0];
    packed_words[lane + lanes][warp + i * warps] = word[i][1];
  }
  __syncthreads();
  for (int row = warp; row < rows; row += warps) {
    if (first_word + lane < row_words) {
      task.words[(first_row + row) * row_words + first_word + lane] = packed_words[row][lane];
    }
  }
}

}  // namespace

cudaError_t pack_signs(const PackSigns& task, cudaStream_t stream) {
  if (task.rows < 0 || task.cols < 0 || task.low_cols < 0) return cudaErrorInvalidValue;
  const int64_t row_words = packed::words_for(task.low_cols, packed::bits_per_word);
  if (task.rows * row_words == 0) return cudaSuccess;  // CUDA refuses a grid without blocks
  const int64_t across = packed::words_for(row_words, words_per_tile);
  const int64_t tiles = packed::words_for(task.rows, rows_per_tile) * across;
  if (tiles > INT32_MAX) return cudaErrorInvalidValue;  // the blocks of a grid
  return launch(pack_signs_kernel, {{static_cast<unsigned>(tiles)}, {warps * lanes}}, stream, task,
                row_words, across);
}

}  // namespace bitmill::kernels

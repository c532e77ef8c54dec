#include "kernels/unpack_weight.hpp"

#include "kernels/element_access.hpp"

namespace bitmill::kernels {
namespace {

// Tile: 64 rows x 4,096 source columns; a warp makes 8 of the rows, one after the other, 32 columns
// at a time. Bound by writing the weight. What belongs to columns (mask, gains) is read once for
// the tile, and a row's words come as whole sectors into shared memory first.
constexpr int warps = 8;
constexpr int threads = warps * 32;
constexpr int rows_per_warp = 8;
constexpr int rows_per_tile = warps * rows_per_warp;
constexpr int columns_per_block = 4096;
constexpr int groups = columns_per_block / packed::bits_per_word;
constexpr int words_per_sector = 8;
// A row's first item lies anywhere in a word, and that anywhere in a sector; 32 words come at a
// time.
constexpr int staged_words(int items_per_word) {
  return (columns_per_block / items_per_word + words_per_sector + 31) / 32 * 32;
}

// The columns of a block, and how many of each kind lie before them.
struct BlockColumns {
  int64_t first;
  int count;
  int64_t low_begin, low_end;
  int64_t salient_begin, salient_end;
};

__device__ BlockColumns columns_of_block(const ColumnSplit& split, int64_t block) {
  BlockColumns out;
  out.first = block * columns_per_block;
  const int64_t left = split.cols - out.first;
  out.count = left < columns_per_block ? static_cast<int>(left) : columns_per_block;
  const int64_t end = out.first + out.count;
  out.low_begin = split.low_before[out.first / packed::bits_per_word];
  out.low_end = end == split.cols ? split.low : split.low_before[end / packed::bits_per_word];
  out.salient_begin = out.first - out.low_begin;
  out.salient_end = end - out.low_end;
  return out;
}

// Words [begin, end) of an array to shared memory, by a warp, from a sector's boundary on. Returns
// where the first of them is.
__device__ const uint32_t* stage_words(const uint32_t* words, int64_t begin, int64_t end,
                                       uint32_t* to) {
  const int64_t first = begin / words_per_sector * words_per_sector;
  for (int64_t base = first; base < end; base += 32) {
    // A lane without a word reads that of its neighbour.
    const int64_t mine = base + threadIdx.x % 32;
    to[mine - first] = words[mine < end ? mine : end - 1];
  }
  return to + (begin - first);
}

// What a block has in shared memory.
struct BlockMemory {
  float (&gains)[columns_per_block];
  uint32_t (&mask)[groups];
  int32_t (&low_before)[groups];
};

// By all threads; a barrier follows.
__device__ void load_columns(const UnpackWeight& task, const BlockColumns& columns,
                             const BlockMemory& memory) {
  const int64_t words = packed::words_for(columns.count, packed::bits_per_word);
  for (int64_t i = threadIdx.x; i < words; i += threads) {
    memory.mask[i] = task.split.mask[columns.first / packed::bits_per_word + i];
    memory.low_before[i] = task.split.low_before[columns.first / packed::bits_per_word + i];
  }
  for (int64_t i = threadIdx.x; i < columns.low_end - columns.low_begin; i += threads) {
    memory.gains[i] = task.col_gain[columns.low_begin + i];
  }
}

__device__ const uint32_t* load_signs(const UnpackWeight& task, const BlockColumns& columns,
                                      int64_t row, uint32_t* to) {
  const int64_t begin = row * packed::words_for(task.split.low, packed::bits_per_word);
  return stage_words(task.signs, begin + columns.low_begin / packed::bits_per_word,
                     begin + packed::words_for(columns.low_end, packed::bits_per_word), to);
}

__device__ const uint32_t* load_codes(const UnpackWeight& task, const BlockColumns& columns,
                                      int64_t row, uint32_t* to) {
  const int64_t salient = task.split.cols - task.split.low;
  const int64_t begin = row * packed::words_for(salient, packed::codes_per_word);
  return stage_words(task.codes, begin + columns.salient_begin / packed::codes_per_word,
                     begin + packed::words_for(columns.salient_end, packed::codes_per_word), to);
}

// A row's words, from the one with the block's first item on, and what is the row's.
struct RowNumbers {
  const uint32_t* signs;
  const uint32_t* codes;
  float row_scale, row_mean, code_scale, code_zero;
};

// Item `index` of `count` of one kind, or the last one: what a lane reads that is of the other
// kind.
__device__ int at_most(int index, int count) { return index < count ? index : count - 1; }

// The lane's columns of one row. All lanes read of both kinds: a neighbour's, where they have none.
template <typename T>
__device__ void write_row(const BlockColumns& columns, const BlockMemory& memory,
                          const RowNumbers& row, T* out) {
  const auto lows = static_cast<int>(columns.low_end - columns.low_begin);
  const int salients = columns.count - lows;
  const auto first_sign = static_cast<int>(columns.low_begin % packed::bits_per_word);
  const auto first_code = static_cast<int>(columns.salient_begin % packed::codes_per_word);
  for (int first = 0; first < columns.count; first += packed::bits_per_word) {
    const int asked = first + static_cast<int>(threadIdx.x % 32);
    const int column = at_most(asked, columns.count), group = first / packed::bits_per_word;
    const uint32_t bits = memory.mask[group], before = (1U << (column - first)) - 1;
    const int low =
        static_cast<int>(memory.low_before[group] - columns.low_begin) + __popc(~bits & before);
    float gain = 0, code = 0;
    uint32_t plus = 0;
    if (lows > 0) {
      const int item = at_most(low, lows);
      gain = memory.gains[item];
      plus = packed::get_bit(row.signs, first_sign + item);
    }
    if (salients > 0) {
      const int item = at_most(column - low, salients);
      code = static_cast<float>(packed::get_code(row.codes, first_code + item));
    }
    __syncwarp();  // else a compiler lets only those lanes read a code that use it
    const bool salient = (bits >> (column - first) & 1U) != 0;
    const float value = salient
                            ? row.code_scale * (code - row.code_zero)
                            : gain * (row.row_scale * (plus != 0 ? 1.0F : -1.0F) + row.row_mean);
    if (asked < columns.count) out[asked] = rounded<T>(value);
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    unpack_weight_kernel(UnpackWeight task, int64_t blocks_across) {
  BITMILL_SHARED(float, gains, [columns_per_block]);
  BITMILL_SHARED(uint32_t, mask, [groups]);
  BITMILL_SHARED(int32_t, low_before, [groups]);
  BITMILL_SHARED(uint32_t, sign_words, [warps][staged_words(packed::bits_per_word)]);
  BITMILL_SHARED(uint32_t, code_words, [warps][staged_words(packed::codes_per_word)]);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const BlockMemory memory{gains, mask, low_before};
  const BlockColumns columns = columns_of_block(task.split, blockIdx.x % blocks_across);
  load_columns(task, columns, memory);
  __syncthreads();
  // Lane l has the numbers of the warp's row l; a lane without one those of its neighbour.
  const int64_t first_row =
      blockIdx.x / blocks_across * rows_per_tile + int64_t{warp} * rows_per_warp;
  const int64_t asked = first_row + lane % rows_per_warp, last = task.rows - 1;
  const int64_t own = asked < last ? asked : last;
  const float row_scale = task.row_scale[own], row_mean = task.row_mean[own];
  const float code_scale = task.code_scale[own], code_zero = task.code_zero[own];
  for (int i = 0; i < rows_per_warp && first_row + i < task.rows; ++i) {
    const RowNumbers row{load_signs(task, columns, first_row + i, sign_words[warp]),
                         load_codes(task, columns, first_row + i, code_words[warp]),
                         __shfl_sync(~0U, row_scale, i),
                         __shfl_sync(~0U, row_mean, i),
                         __shfl_sync(~0U, code_scale, i),
                         __shfl_sync(~0U, code_zero, i)};
    __syncwarp();
    write_row(columns, memory, row,
              static_cast<T*>(task.weight) + (first_row + i) * task.split.cols + columns.first);
    __syncwarp();  // the next row's words come to the same place
  }
}

}  // namespace

cudaError_t unpack_weight(const UnpackWeight& task, cudaStream_t stream) {
  if (task.rows < 0 || !is_split(task.split)) return cudaErrorInvalidValue;
  if (task.rows * task.split.cols == 0) return cudaSuccess;
  const int64_t across = packed::words_for(task.split.cols, columns_per_block);
  const int64_t blocks = packed::words_for(task.rows, rows_per_tile) * across;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  return with_element(task.element, [&](auto zero) {
    return launch(unpack_weight_kernel<decltype(zero)>,
                  {{static_cast<unsigned>(blocks)}, {threads}}, stream, task, across);
  });
}

}  // namespace bitmill::kernels

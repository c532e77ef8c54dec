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
// A row's words begin anywhere: up to one word before its first item and one behind the last.
constexpr int most_sign_words = columns_per_block / packed::bits_per_word + 1;
constexpr int most_code_words = columns_per_block / packed::codes_per_word + 1;
constexpr int words_per_sector = 8;

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

// Words [begin, end) of an array to shared memory, by a warp. Reads from a sector's boundary on;
// what lies before `begin` there is not kept.
__device__ void stage_words(const uint32_t* words, int64_t begin, int64_t end, uint32_t* to) {
  for (int64_t base = begin / words_per_sector * words_per_sector; base < end; base += 32) {
    // A lane without a word reads that of its neighbour.
    const int64_t mine = base + threadIdx.x % 32;
    const uint32_t word = words[mine < end ? mine : end - 1];
    if (mine >= begin && mine < end) to[mine - begin] = word;
  }
}

// What a block has in shared memory. Words are those of the warp's row, from the one with the
// block's first item on.
struct BlockMemory {
  float (&gains)[columns_per_block];
  uint32_t (&mask)[groups];
  int32_t (&low_before)[groups];
  uint32_t* signs;
  uint32_t* codes;
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

__device__ void load_row(const UnpackWeight& task, const BlockColumns& columns, int64_t row,
                         const BlockMemory& memory) {
  const int64_t salient = task.split.cols - task.split.low;
  const int64_t signs = row * packed::words_for(task.split.low, packed::bits_per_word);
  const int64_t codes = row * packed::words_for(salient, packed::codes_per_word);
  stage_words(task.signs, signs + columns.low_begin / packed::bits_per_word,
              signs + packed::words_for(columns.low_end, packed::bits_per_word), memory.signs);
  stage_words(task.codes, codes + columns.salient_begin / packed::codes_per_word,
              codes + packed::words_for(columns.salient_end, packed::codes_per_word), memory.codes);
}

struct RowNumbers {
  float row_scale, row_mean, code_scale, code_zero;
};

// The lane's columns of one row.
template <typename T>
__device__ void write_row(const BlockColumns& columns, const BlockMemory& memory,
                          const RowNumbers& row, T* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const auto first_sign = static_cast<int>(columns.low_begin % packed::bits_per_word);
  const auto first_code = static_cast<int>(columns.salient_begin % packed::codes_per_word);
  for (int column = lane; column < columns.count; column += packed::bits_per_word) {
    const int group = column / packed::bits_per_word;
    const uint32_t bits = memory.mask[group];
    const int low = static_cast<int>(memory.low_before[group] - columns.low_begin) +
                    __popc(~bits & ((1U << lane) - 1));
    float value = 0;
    if ((bits >> lane & 1U) != 0) {
      const uint32_t code = packed::get_code(memory.codes, first_code + column - low);
      value = row.code_scale * (static_cast<float>(code) - row.code_zero);
    } else {
      const bool plus = packed::get_bit(memory.signs, first_sign + low) != 0;
      value = memory.gains[low] * (row.row_scale * (plus ? 1.0F : -1.0F) + row.row_mean);
    }
    out[column] = rounded<T>(value);
  }
}

template <typename T>
__global__ void __launch_bounds__(threads)
    unpack_weight_kernel(UnpackWeight task, int64_t blocks_across) {
  BITMILL_SHARED(float, gains, [columns_per_block]);
  BITMILL_SHARED(uint32_t, mask, [groups]);
  BITMILL_SHARED(int32_t, low_before, [groups]);
  BITMILL_SHARED(uint32_t, sign_words, [warps][most_sign_words]);
  BITMILL_SHARED(uint32_t, code_words, [warps][most_code_words]);
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const BlockMemory memory{gains, mask, low_before, sign_words[warp], code_words[warp]};
  const BlockColumns columns = columns_of_block(task.split, blockIdx.x % blocks_across);
  load_columns(task, columns, memory);
  __syncthreads();
  // Lane l has the numbers of the warp's row l; a lane without one those of its neighbour.
  const int64_t first_row =
      blockIdx.x / blocks_across * rows_per_tile + int64_t{warp} * rows_per_warp;
  const int64_t asked = first_row + lane % rows_per_warp, last = task.rows - 1;
  const int64_t own = asked < last ? asked : last;
  const RowNumbers mine{task.row_scale[own], task.row_mean[own], task.code_scale[own],
                        task.code_zero[own]};
  for (int i = 0; i < rows_per_warp && first_row + i < task.rows; ++i) {
    load_row(task, columns, first_row + i, memory);
    __syncwarp();
    const RowNumbers row{__shfl_sync(~0U, mine.row_scale, i), __shfl_sync(~0U, mine.row_mean, i),
                         __shfl_sync(~0U, mine.code_scale, i), __shfl_sync(~0U, mine.code_zero, i)};
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

#pragma once
// A tile of source columns, and where its columns lie in the two operands: what gather and scatter
// share. For the .cu files only.
//
// A tile's low columns are neighbours in the low operand, and its salient ones in the salient
// operand. Both stretches of one token lie in one row of slots in shared memory, each from the last
// sector boundary of the operand on, so that a slot and its place in the operand are equally
// aligned.

#include <bit>

#include "kernels/columns.hpp"
#include "kernels/element_access.hpp"
#include "kernels/simt.hpp"

namespace bitmill::kernels {

// Columns [begin, end) of an operand; `first` is the sector boundary at or before `begin`.
struct Stretch {
  int begin, end, first, slot;  // `slot` is where column `first` lies
};

struct ColumnTile {
  int first, end;  // source columns
  Stretch low, salient;
};

// A tile's block, and how many tokens it has in shared memory at a time: a warp moves one stretch
// of one of them.
inline constexpr int tokens_per_stage = 4;
inline constexpr int tile_warps = 2 * tokens_per_stage;
inline constexpr int tile_threads = tile_warps * 32;
inline constexpr int columns_per_thread = columns_per_tile / tile_threads;

inline constexpr int tile_words = columns_per_tile / packed::bits_per_word;
// Both stretches, with up to one sector before each, and padding.
inline constexpr int slots_per_token = 1200;
static_assert(slots_per_token % operand_step == 0 &&
              slots_per_token >=
                  columns_per_tile + 2 * (operand_step + largest_padding) + operand_step);

// The words of one tile, in shared memory.
struct TileWords {
  uint32_t mask[tile_words];
  int32_t low_before[tile_words + 1];  // the last one: before the next tile
};

// By one warp; then a barrier.
__device__ __forceinline__ void read_words(const ColumnSplit& split, int64_t tile,
                                           TileWords& words) {
  const int lane = threadIdx.x % 32;
  const int64_t word = tile * tile_words + lane;
  const int64_t all = packed::words_for(split.cols, packed::bits_per_word);
  words.mask[lane] = word < all ? split.mask[word] : 0;
  words.low_before[lane] = word < all ? split.low_before[word] : static_cast<int32_t>(split.low);
  if (lane == 0) {
    const int64_t next = (tile + 1) * tile_words;
    words.low_before[tile_words] =
        next < all ? split.low_before[next] : static_cast<int32_t>(split.low);
  }
}

// With `padding`, the last tile's stretches go on to the ends of the rows.
__device__ __forceinline__ ColumnTile column_tile(const ColumnSplit& split, int64_t tile,
                                                  const TileWords& words, int64_t low_stride,
                                                  int64_t salient_stride, bool padding) {
  constexpr int step = operand_step;
  const int first = static_cast<int>(tile * columns_per_tile);
  const int cols = static_cast<int>(split.cols);
  const bool last = cols - first <= columns_per_tile;
  const int end = last ? cols : first + static_cast<int>(columns_per_tile);
  const int low_begin = words.low_before[0], low_end = words.low_before[tile_words];
  Stretch low{low_begin, low_end, low_begin / step * step, 0};
  Stretch salient{first - low_begin, end - low_end, (first - low_begin) / step * step, 0};
  if (last && padding) {
    low.end = static_cast<int>(low_stride);
    salient.end = static_cast<int>(salient_stride);
  }
  salient.slot = (low.end - low.first + step - 1) / step * step;
  return {first, end, low, salient};
}

// Where a source column of the tile lies.
struct ColumnPlace {
  bool is_low = false, is_salient = false;  // neither: behind the last column
  int column = 0;                           // within its own part
  int slot = 0;
};

__device__ __forceinline__ ColumnPlace place_of(const ColumnTile& tile, const TileWords& words,
                                                int source) {
  ColumnPlace place;
  if (source >= tile.end) return place;
  const int inside = source - tile.first;
  const int word = inside / packed::bits_per_word, bit = inside % packed::bits_per_word;
  const uint32_t mask = words.mask[word];
  const int low = words.low_before[word] + bit - __popc(mask & ((1U << bit) - 1));
  place.is_salient = (mask >> bit & 1U) != 0;
  place.is_low = !place.is_salient;
  const Stretch& stretch = place.is_salient ? tile.salient : tile.low;
  place.column = place.is_salient ? source - low : low;
  place.slot = stretch.slot + place.column - stretch.first;
  return place;
}

// gains[i] = the gain of the tile's source column i, 0 where that is salient. By all threads of the
// block; with a barrier at its end. They are read as they lie and spread out in shared memory.
__device__ __forceinline__ void read_gains(const ColumnTile& tile, const TileWords& words,
                                           const float* col_gain,
                                           float (&gains)[columns_per_tile]) {
  const int thread = threadIdx.x;
  for (int column = words.low_before[0] + thread; column < words.low_before[tile_words];
       column += tile_threads) {
    gains[column - words.low_before[0]] = col_gain[column];
  }
  __syncthreads();
  float mine[columns_per_thread];
  for (int i = 0; i < columns_per_thread; ++i) {
    const ColumnPlace place = place_of(tile, words, tile.first + i * tile_threads + thread);
    mine[i] = place.is_low ? gains[place.column - words.low_before[0]] : 0.0F;
    __syncwarp();
  }
  __syncthreads();
  for (int i = 0; i < columns_per_thread; ++i) gains[i * tile_threads + thread] = mine[i];
  __syncthreads();
}

// `unit` neighbouring gains in one access.
template <int unit>
__device__ __forceinline__ void read_gain(const float (&gains)[columns_per_tile], int inside,
                                          float* to) {
  if constexpr (unit == 2) {
    const uint64_t both = *reinterpret_cast<const uint64_t*>(&gains[inside]);
    to[0] = std::bit_cast<float>(static_cast<uint32_t>(both));
    to[1] = std::bit_cast<float>(static_cast<uint32_t>(both >> 32));
  } else {
    to[0] = gains[inside];
  }
}

// `unit` neighbouring columns of a row of x in one access; 0 from column `end` on. For a unit of 2
// the number of columns is even.
template <int unit, typename T>
__device__ __forceinline__ void read_x(const T* row, int column, int end, float* to) {
  if constexpr (unit == 2) {
    const uint32_t both = column < end ? *reinterpret_cast<const uint32_t*>(row + column) : 0;
    to[0] = std::bit_cast<float>(both << 16);
    to[1] = std::bit_cast<float>(both & 0xFFFF0000U);
  } else {
    to[0] = column < end ? widened(row[column]) : 0.0F;
  }
}

// The columns of one thread: `unit` neighbours, and again those of all other threads on.
struct ThreadColumns {
  int source[columns_per_thread];
  ColumnPlace place[columns_per_thread];
  float gain[columns_per_thread];
};

// `gains` as read_gains() leaves them.
template <int unit>
__device__ __forceinline__ ThreadColumns thread_columns(const ColumnTile& tile,
                                                        const TileWords& words,
                                                        const float (&gains)[columns_per_tile]) {
  ThreadColumns mine;
  const int thread = threadIdx.x;
  for (int i = 0; i < columns_per_thread; ++i) {
    mine.source[i] = tile.first + (i / unit * tile_threads + thread) * unit + i % unit;
    mine.place[i] = place_of(tile, words, mine.source[i]);
    if (i % unit == 0) read_gain<unit>(gains, mine.source[i] - tile.first, &mine.gain[i]);
  }
  return mine;
}

// x of up to four tokens, the first `tokens` rows from `row` on; 0 for others.
template <int unit, typename T>
__device__ __forceinline__ void read_stage(const T* row, int64_t cols, int tokens,
                                           const ColumnTile& tile, const ThreadColumns& mine,
                                           float (&x)[tokens_per_stage][columns_per_thread]) {
  for (int s = 0; s < tokens_per_stage; ++s) {
    for (int i = 0; i < columns_per_thread; i += unit) {
      read_x<unit>(row + s * cols, mine.source[i], s < tokens ? tile.end : 0, &x[s][i]);
    }
  }
}

}  // namespace bitmill::kernels

#pragma once
// Which input columns of a linear are low and which are salient, for the kernels that go from
// columns to operands and back. They read it by bits: a list of columns would be as long as a row
// of x.

#include <bit>
#include <cstdint>
#include <vector>

#include "format/packed_layout.hpp"
#include "kernels/element.hpp"

namespace bitmill::kernels {

// Pointers point to memory of the device. Columns are numbered within their own part.
struct ColumnSplit {
  const uint32_t* mask;       // [words_for(cols, 32)]  format/packed_layout.hpp: 1 = salient
  const int32_t* low_before;  // [words_for(cols, 32)]  low columns before each word's first one
  int64_t cols;               // below 2^31
  int64_t low;                // low columns; the rest are salient

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(mask);
    visit(low_before);
  }
};

// The kernels cut x along its columns into tiles of this many. A sum over columns is a table with a
// row for each tile, and a consumer adds the rows in order (add_table.hpp).
inline constexpr int64_t columns_per_tile = 1024;
constexpr int64_t column_tiles(int64_t cols) { return packed::words_for(cols, columns_per_tile); }

// An operand's columns from its own last one up to its stride are padding: fewer than this.
inline constexpr int64_t largest_padding = 64;
constexpr bool is_operand_stride(int64_t stride, int64_t columns) {
  return stride % operand_step == 0 && stride >= columns && stride - columns < largest_padding;
}
// Whether the sizes are possible.
constexpr bool is_split(const ColumnSplit& split) {
  return split.low >= 0 && split.cols >= split.low && split.cols <= INT32_MAX - columns_per_tile;
}

// ColumnSplit::low_before of a mask in memory of the host. Once per linear.
inline std::vector<int32_t> count_low_before(const std::vector<uint32_t>& mask) {
  std::vector<int32_t> before;
  before.reserve(mask.size());
  int32_t low = 0;
  for (const uint32_t word : mask) {
    before.push_back(low);
    low += packed::bits_per_word - std::popcount(word);
  }
  return before;
}

}  // namespace bitmill::kernels

#pragma once
// Splits of columns into low and salient ones, for the tests of kernels that go from columns to
// operands and back.

#include <cstdint>
#include <vector>

#include "format/packed_layout.hpp"
#include "kernels/columns.hpp"

namespace bitmill {

enum class SaliencyPattern { some, none, all };

struct ColumnCase {
  int64_t cols = 0;
  std::vector<uint32_t> mask;
  std::vector<int32_t> low_before;
  std::vector<int64_t> low_columns, salient_columns;

  int64_t low() const { return std::ssize(low_columns); }
  int64_t salient() const { return std::ssize(salient_columns); }
  // The smallest that is allowed, or one that has more padding.
  static int64_t stride(int64_t columns, int64_t more = 0) {
    return (columns + kernels::operand_step - 1) / kernels::operand_step * kernels::operand_step +
           more * kernels::operand_step;
  }
};

// `some`: about a fifth of the columns, now in a row, now far apart.
inline ColumnCase make_column_case(int64_t cols, SaliencyPattern pattern) {
  ColumnCase made;
  made.cols = cols;
  made.mask.assign(packed::words_for(cols, packed::bits_per_word), 0);
  for (int64_t column = 0; column < cols; ++column) {
    const bool some = column * column % 7 == 2 || column % 61 > 54;
    const bool salient =
        pattern == SaliencyPattern::all || (pattern == SaliencyPattern::some && some);
    if (salient) packed::set_bit(made.mask.data(), column);
    (salient ? made.salient_columns : made.low_columns).push_back(column);
  }
  made.low_before = kernels::count_low_before(made.mask);
  return made;
}

}  // namespace bitmill

#pragma once
// The sum of one column of a table of sums, in the order of its rows. For the .cu files only.

#include <cstdint>

#include "kernels/simt.hpp"

namespace bitmill::kernels {

// `rows` [tiles, columns]. Eight rows are under way at a time; the additions wait for each other.
__device__ __forceinline__ float column_sum(const float* rows, int64_t tiles, int64_t columns,
                                            int64_t column) {
  constexpr int ahead = 8;
  float sum = tiles > 0 ? rows[column] : 0.0F;
  for (int64_t first = 1; first < tiles; first += ahead) {
    float row[ahead];
    for (int i = 0; i < ahead; ++i) {
      if (first + i < tiles) row[i] = rows[(first + i) * columns + column];
    }
    for (int i = 0; i < ahead; ++i) {
      if (first + i < tiles) sum += row[i];
    }
  }
  return sum;
}

}  // namespace bitmill::kernels

#pragma once
// Packs one bit per low column: 1 where the weight lies at or above its row mean.
//
// Reference: the plain loop of tests/kernels/pack_signs_cases.hpp. Tests: tests/kernels and, on a
// GPU, tests/gpu, both pack_signs_test.cpp.

#include <cstdint>

#include "format/packed_layout.hpp"
#include "kernels/host_device.hpp"
#include "kernels/launch.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device that does the work: the GPU for pack_signs(), the host
// for a loop over pack_signs_word(). REQUIRES: 0 <= columns[i] < cols.
struct PackSigns {
  const float* weight;     // [rows, cols]                        in, row-major
  const float* mean;       // [rows]                              in
  const int32_t* columns;  // [low_cols]                          in, source column, ascending
  uint32_t* words;         // [rows, words_for(low_cols, 32)]     out, format/packed_layout.hpp
  int64_t rows;
  int64_t cols;
  int64_t low_cols;
};

// Word `index` of `words`, where the index counts over all rows. A NaN packs as 0.
BITMILL_HOST_DEVICE inline uint32_t pack_signs_word(const PackSigns& task, int64_t index) {
  const int64_t words_per_row = packed::words_for(task.low_cols, packed::bits_per_word);
  const int64_t row = index / words_per_row;
  const int64_t first = index % words_per_row * packed::bits_per_word;
  const int64_t left = task.low_cols - first;
  const int64_t bits = left < packed::bits_per_word ? left : packed::bits_per_word;

  const float* weight = task.weight + row * task.cols;
  const float mean = task.mean[row];
  uint32_t word = 0;
  for (int64_t bit = 0; bit < bits; ++bit) {
    if (weight[task.columns[first + bit]] >= mean) packed::set_bit(&word, bit);
  }
  return word;
}

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue when a
// size is negative. Launches nothing for an empty matrix. The next call that waits for `stream`
// returns errors that happen while the kernel runs.
cudaError_t pack_signs(const PackSigns& task, cudaStream_t stream);

}  // namespace bitmill::kernels

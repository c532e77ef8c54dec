#pragma once
// Packs one bit per low column: 1 where the weight lies at or above its row mean.
//
// Reference: the plain loop of tests/kernels/pack_signs_cases.hpp. Tests: pack_signs_test.cpp in
// tests/kernels (on the emulator) and in tests/gpu.

#include <cstdint>

#include "format/packed_layout.hpp"
#include "kernels/launch.hpp"

namespace bitmill::kernels {

// All pointers point to memory of the device. REQUIRES: 0 <= columns[i] < columns[i + 1] < cols.
// Every column up to the last low one may be read.
struct PackSigns {
  const float* weight;     // [rows, cols]                        in, row-major
  const float* mean;       // [rows]                              in
  const int32_t* columns;  // [low_cols]                          in, source column, ascending
  uint32_t* words;         // [rows, words_for(low_cols, 32)]     out, format/packed_layout.hpp
  int64_t rows;
  int64_t cols;
  int64_t low_cols;

  template <typename Visit>
  void each_pointer(Visit visit) {
    visit(weight);
    visit(mean);
    visit(columns);
    visit(words);
  }
};

// Queues the kernel on `stream` and returns the result of the launch; cudaErrorInvalidValue when a
// size is negative. Launches nothing for an empty matrix. A NaN packs as 0. The next call that
// waits for `stream` returns errors that happen while the kernel runs.
cudaError_t pack_signs(const PackSigns& task, cudaStream_t stream);

}  // namespace bitmill::kernels

#pragma once
// Inputs for pack_signs, and the expected results from a simple loop, for the host and GPU tests.

#include <cstdint>
#include <vector>

#include "format/packed_layout.hpp"
#include "kernels/pack_signs.hpp"

namespace bitmill {

struct PackSignsCase {
  int64_t rows;
  int64_t cols;
  int64_t low_cols;
  std::vector<float> weight;     // [rows, cols]
  std::vector<float> mean;       // [rows]
  std::vector<int32_t> columns;  // [low_cols]

  int64_t words() const { return rows * packed::words_for(low_cols, packed::bits_per_word); }
  // `into` has words() elements.
  kernels::PackSigns task(uint32_t* into) const {
    return {weight.data(), mean.data(), columns.data(), into, rows, cols, low_cols};
  }
};

// Weights are small integers, so that many are equal to their row's mean: such a tie packs as 1.
inline PackSignsCase make_pack_signs_case(int64_t rows, int64_t cols, int64_t low_cols) {
  PackSignsCase made{rows, cols, low_cols, {}, {}, {}};
  for (int64_t row = 0; row < rows; ++row) {
    made.mean.push_back(static_cast<float>(row % 5 - 2));
    for (int64_t col = 0; col < cols; ++col) {
      made.weight.push_back(static_cast<float>((row * 7 + col * col * 3) % 11 - 5));
    }
  }
  // The low columns are spread evenly over all columns.
  for (int64_t i = 0; i < low_cols; ++i) {
    made.columns.push_back(static_cast<int32_t>(i * cols / low_cols));
  }
  return made;
}

inline std::vector<uint32_t> pack_signs_reference(const PackSignsCase& problem) {
  std::vector<uint32_t> words(problem.words(), 0);
  const int64_t words_per_row = packed::words_for(problem.low_cols, packed::bits_per_word);
  for (int64_t row = 0; row < problem.rows; ++row) {
    for (int64_t i = 0; i < problem.low_cols; ++i) {
      const float weight = problem.weight[row * problem.cols + problem.columns[i]];
      if (weight >= problem.mean[row]) packed::set_bit(words.data() + row * words_per_row, i);
    }
  }
  return words;
}

// Odd shapes around the word size and the kernel's tile (64 rows, 32 words), primes, a real layer's
// width, and few low columns far apart.
inline std::vector<PackSignsCase> pack_signs_cases() {
  std::vector<PackSignsCase> cases;
  for (const int64_t rows : {0, 1, 3, 31}) {
    for (const int64_t low_cols : {0, 1, 31, 32, 33, 64, 97}) {
      cases.push_back(make_pack_signs_case(rows, low_cols + low_cols / 4 + 1, low_cols));
    }
  }
  for (const int64_t rows : {63, 64, 65, 131}) {
    cases.push_back(make_pack_signs_case(rows, 1283, 1025));
  }
  cases.push_back(make_pack_signs_case(17, 4096, 3277));
  cases.push_back(make_pack_signs_case(3, 5003, 40));
  return cases;
}

}  // namespace bitmill

#pragma once
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random
// bits as a pure function of (seed, purpose, index), so that every rank and machine draws the same
// numbers in any order. The standard library's distributions differ between libraries.

#include <array>
#include <cstdint>

namespace bitmill {

// What the numbers are for: two purposes never use the same numbers.
enum class RandomPurpose : uint32_t {
  calibration_windows = 1,
  test_data = 2,
  calibration_order = 3,
  sampling = 4,
  corpus_order = 5,
  adapter_values = 7,
  dropout = 8,
  dropout_key = 9
};

// 128 random bits.
std::array<uint32_t, 4> random_bits(uint64_t seed, RandomPurpose purpose, uint64_t index);

// Uniform in [0, bound), bound > 0. The bias is below bound / 2^64.
uint64_t random_below(uint64_t seed, RandomPurpose purpose, uint64_t index, uint64_t bound);

// Uniform in [0, 1), 24 bits.
float random_unit(uint64_t seed, RandomPurpose purpose, uint64_t index);

}  // namespace bitmill

#include "base/random.hpp"

namespace bitmill {
namespace {

// Multipliers and key increments of the paper, table 2 and section 4.
constexpr uint64_t multiplier0 = 0xD2511F53;
constexpr uint64_t multiplier1 = 0xCD9E8D57;
constexpr uint32_t weyl0 = 0x9E3779B9;
constexpr uint32_t weyl1 = 0xBB67AE85;
constexpr int rounds = 10;

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < rounds; ++round) {
    const uint64_t product0 = multiplier0 * counter[0];
    const uint64_t product1 = multiplier1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += weyl0;
    key[1] += weyl1;
  }
  return counter;
}

}  // namespace

std::array<uint32_t, 4> random_bits(uint64_t seed, RandomPurpose purpose, uint64_t index) {
  return philox({static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                 static_cast<uint32_t>(purpose), 0},
                {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
}

uint64_t random_below(uint64_t seed, RandomPurpose purpose, uint64_t index, uint64_t bound) {
  const auto bits = random_bits(seed, purpose, index);
  const uint64_t word = (uint64_t{bits[0]} << 32) | bits[1];
  // The high 64 bits of word * bound, in 32-bit pieces (128-bit integers are not ISO C++).
  const uint64_t word_low = word & 0xFFFFFFFF, word_high = word >> 32;
  const uint64_t bound_low = bound & 0xFFFFFFFF, bound_high = bound >> 32;
  const uint64_t middle = word_high * bound_low + ((word_low * bound_low) >> 32);
  const uint64_t carry = word_low * bound_high + (middle & 0xFFFFFFFF);
  return word_high * bound_high + (middle >> 32) + (carry >> 32);
}

float random_unit(uint64_t seed, RandomPurpose purpose, uint64_t index) {
  return static_cast<float>(random_bits(seed, purpose, index)[0] >> 8) * 0x1p-24f;
}

}  // namespace bitmill

// The kernel for any processor, in plain C++ with the compiler's vectors: what the others are
// tested against.

#include "kernels/cpu/dense_loops.hpp"
#include "kernels/cpu/float_loops.hpp"
#include "kernels/cpu/input_loops.hpp"
#include "kernels/cpu/kernel.hpp"
#include "kernels/cpu/tile_walk.hpp"

namespace bitmill::kernels::cpu {
namespace {

// Two digits for every row: one for the lower half of its word, one for the upper.
inline PairLanes pair_of(int8_t lower, int8_t upper) {
  const auto both = static_cast<uint16_t>(lower) | static_cast<uint32_t>(upper) << 16;
  return (PairLanes)(WordLanes{} + both);
}

// Sums of a tile in 16 bits, two for each row, which are added to sums in 32 bits before they could
// overflow.
template <int Digits>
struct PairSums {
  PairLanes pairs[Digits][tile_parts] = {};
  IntLanes words[Digits][tile_parts] = {};

  void widen() {
    for (int digit = 0; digit < Digits; ++digit) {
      for (int part = 0; part < tile_parts; ++part) {
        const auto both = (IntLanes)pairs[digit][part];
        words[digit][part] += ((IntLanes)((WordLanes)both << 16) >> 16) + (both >> 16);
        pairs[digit][part] = PairLanes{};
      }
    }
  }
};

// 16 bits of a line and half of a row: at most 16 * 128 in magnitude. 4 codes: 4 * 15 * 128.
constexpr int64_t sign_lines_in_16_bits = 15, code_lines_in_16_bits = 4;

struct PlainCore {
  static constexpr int most_digits = 2;
  static constexpr int packed_tiles = 1, int8_tiles = 1;

  template <int Digits>
  static void sign_sums(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                        int64_t stride, PackedSums* sums) {
    PairSums<Digits> ones;
    for (int64_t line = 0; line < tiles.sign_words; ++line) {
      for (int bit = 0; bit < 16; ++bit) {
        const int64_t place = line * 32 + bit % 8 * 4 + bit / 8;
        for (int part = 0; part < tile_parts; ++part) {
          const auto words = load<PairLanes>(tile + line * tile_rows + part * lane_count);
          const PairLanes wanted = (words << (15 - bit)) >> 15;  // all bits of the half, or none
          for (int digit = 0; digit < Digits; ++digit) {
            const int8_t* const digits = x + digit * stride + place;
            ones.pairs[digit][part] += wanted & pair_of(digits[0], digits[2]);
          }
        }
      }
      if ((line + 1) % sign_lines_in_16_bits == 0) ones.widen();
    }
    ones.widen();
    for (int digit = 0; digit < Digits; ++digit) {
      __builtin_memcpy(sums[digit].ones, ones.words[digit], sizeof(sums[digit].ones));
    }
  }

  template <int Digits, class Sums>
  static void code_sums(const PackedTiles& tiles, const uint32_t* tile, const int8_t* salient,
                        int64_t stride, Sums* sums) {
    const uint32_t* const lines = tile + tiles.sign_words * tile_rows;
    PairSums<Digits> codes;
    for (int64_t line = 0; line < tiles.code_words; ++line) {
      for (int code = 0; code < 4; ++code) {
        const int64_t place = line * 8 + code % 2 * 4 + code / 2;
        for (int part = 0; part < tile_parts; ++part) {
          const auto words = load<PairLanes>(lines + line * tile_rows + part * lane_count);
          const PairLanes value = (words >> (4 * code)) & 15;
          for (int digit = 0; digit < Digits; ++digit) {
            const int8_t* const digits = salient + digit * stride + place;
            codes.pairs[digit][part] += value * pair_of(digits[0], digits[2]);
          }
        }
      }
      if ((line + 1) % code_lines_in_16_bits == 0) codes.widen();
    }
    codes.widen();
    for (int digit = 0; digit < Digits; ++digit) {
      __builtin_memcpy(sums[digit].codes, codes.words[digit], sizeof(sums[digit].codes));
    }
  }

  template <int Tiles, int Digits>
  static void packed(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                     int64_t stride, PackedSums* sums) {
    static_assert(Tiles == 1);
    sign_sums<Digits>(tiles, tile, x, stride, sums);
    code_sums<Digits>(tiles, tile, x + tiles.sign_words * 32, stride, sums);
  }

  template <int Tiles, int Digits>
  static void high_codes(const PackedTiles& tiles, const uint32_t* tile, const int8_t* salient,
                         int64_t stride, HighSums* sums) {
    static_assert(Tiles == 1);
    code_sums<Digits>(tiles, tile, salient, stride, sums);
  }

  template <int Tiles, int Digits>
  static void int8(const Int8Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Int8Sums* sums) {
    static_assert(Tiles == 1);
    WordLanes all[Digits][tile_parts] = {};
    for (int64_t line = 0; line < tiles.lines; ++line) {
      for (int byte = 0; byte < 4; ++byte) {
        for (int part = 0; part < tile_parts; ++part) {
          const auto words = load<WordLanes>(tile + line * tile_rows + part * lane_count);
          const WordLanes value = (words >> (8 * byte)) & 255U;
          for (int digit = 0; digit < Digits; ++digit) {
            all[digit][part] += value * static_cast<uint32_t>(x[digit * stride + line * 4 + byte]);
          }
        }
      }
    }
    for (int digit = 0; digit < Digits; ++digit) {
      for (int part = 0; part < tile_parts; ++part) {
        store(sums[digit].sums + part * lane_count, all[digit][part]);
      }
    }
  }
};

}  // namespace

const Kernel& plain_kernel() {
  static constexpr Kernel kernel = {"plain",
                                    gather,
                                    round_one_digit,
                                    round_two_digits,
                                    packed<PlainCore>,
                                    packed_float,
                                    int8<PlainCore>,
                                    int8_float,
                                    dense};
  return kernel;
}

}  // namespace bitmill::kernels::cpu

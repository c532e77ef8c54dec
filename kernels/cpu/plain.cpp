// The kernel for any processor, in plain C++ with the compiler's vectors: what the others are
// tested against.

#include "kernels/cpu/dense_loops.hpp"
#include "kernels/cpu/float_loops.hpp"
#include "kernels/cpu/input_loops.hpp"
#include "kernels/cpu/kernel.hpp"
#include "kernels/cpu/tile_walk.hpp"

namespace bitmill::kernels::cpu {
namespace {

struct PlainCore {
  static constexpr int most_digits = 2;
  static constexpr int packed_tiles = 1, int8_tiles = 1;

  template <int Tiles, int Digits>
  static void packed(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                     int64_t stride, PackedSums* sums) {
    static_assert(Tiles == 1);
    for (int part = 0; part < tile_parts; ++part) {
      const uint32_t* const lines = tile + part * lane_count;
      IntLanes ones[Digits] = {}, codes[Digits] = {};
      for (int64_t line = 0; line < tiles.sign_words; ++line) {
        const auto words = load<WordLanes>(lines + line * tile_rows);
        for (int bit = 0; bit < 32; ++bit) {
          const IntLanes wanted = (IntLanes)(words << (31 - bit)) >> 31;  // all bits of the word
          const int64_t place = line * 32 + bit % 8 * 4 + bit / 8;
          for (int digit = 0; digit < Digits; ++digit) {
            ones[digit] += wanted & int32_t{x[digit * stride + place]};
          }
        }
      }
      const uint32_t* const code_lines = lines + tiles.sign_words * tile_rows;
      const int8_t* const salient = x + tiles.sign_words * 32;
      for (int64_t line = 0; line < tiles.code_words; ++line) {
        const auto words = load<WordLanes>(code_lines + line * tile_rows);
        for (int code = 0; code < 8; ++code) {
          const IntLanes value = (IntLanes)((words >> (4 * code)) & 15U);
          const int64_t place = line * 8 + code % 2 * 4 + code / 2;
          for (int digit = 0; digit < Digits; ++digit) {
            codes[digit] += value * int32_t{salient[digit * stride + place]};
          }
        }
      }
      for (int digit = 0; digit < Digits; ++digit) {
        store(sums[digit].ones + part * lane_count, ones[digit]);
        store(sums[digit].codes + part * lane_count, codes[digit]);
      }
    }
  }

  template <int Tiles, int Digits>
  static void int8(const Int8Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Int8Sums* sums) {
    static_assert(Tiles == 1);
    for (int part = 0; part < tile_parts; ++part) {
      WordLanes all[Digits] = {};
      for (int64_t line = 0; line < tiles.lines; ++line) {
        const auto words = load<WordLanes>(tile + line * tile_rows + part * lane_count);
        for (int byte = 0; byte < 4; ++byte) {
          const WordLanes value = (words >> (8 * byte)) & 255U;
          for (int digit = 0; digit < Digits; ++digit) {
            all[digit] += value * static_cast<uint32_t>(x[digit * stride + line * 4 + byte]);
          }
        }
      }
      for (int digit = 0; digit < Digits; ++digit) {
        store(sums[digit].sums + part * lane_count, all[digit]);
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

// The kernel for AVX2. Bytes are multiplied in pairs to 16 bits (vpmaddubsw), where a few lines are
// summed before they are widened.

#include <immintrin.h>

#include "kernels/cpu/dense_loops.hpp"
#include "kernels/cpu/float_loops.hpp"
#include "kernels/cpu/input_loops.hpp"
#include "kernels/cpu/kernel.hpp"
#include "kernels/cpu/tile_walk.hpp"

namespace bitmill::kernels::cpu {
namespace {

// Eight rows of a line.
inline __m256i load_part(const uint32_t* line, int part) {
  __m256i words = _mm256_load_si256(reinterpret_cast<const __m256i*>(line) + part);
  asm("" : "+x"(words));
  return words;
}
inline __m256i load_digits(const int8_t* x) {
  int32_t digits;
  __builtin_memcpy(&digits, x, sizeof(digits));
  return _mm256_set1_epi32(digits);
}
inline void store_part(int32_t* to, int part, __m256i sums) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(to) + part, sums);
}

// A line adds at most 2 planes * 2 bytes * 8 * 128 = 4096 to a 16-bit sum of signs: 7 lines fit.
constexpr int64_t lines_in_16_bits = 7;

struct Avx2Core {
  static constexpr int most_digits = 2;
  static constexpr int packed_tiles = 1, int8_tiles = 2;

  // sum[b] is 2^b times a sum: the bits stay where they are in their bytes.
  static __m256i widened(const __m256i sum[4]) {
    const __m256i one = _mm256_set1_epi16(1);
    const __m256i first = _mm256_add_epi32(_mm256_madd_epi16(sum[0], one),
                                           _mm256_srai_epi32(_mm256_madd_epi16(sum[1], one), 1));
    const __m256i second = _mm256_add_epi32(_mm256_srai_epi32(_mm256_madd_epi16(sum[2], one), 2),
                                            _mm256_srai_epi32(_mm256_madd_epi16(sum[3], one), 3));
    return _mm256_add_epi32(first, second);
  }

  static void sign_sums(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                        PackedSums& sums) {
    const __m256i bits[4] = {_mm256_set1_epi8(1), _mm256_set1_epi8(2), _mm256_set1_epi8(4),
                             _mm256_set1_epi8(8)};
    __m256i all[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t first = 0; first < tiles.sign_words; first += lines_in_16_bits) {
      const int64_t left = tiles.sign_words - first;
      const int64_t end = first + (left < lines_in_16_bits ? left : lines_in_16_bits);
      __m256i sum[2][4];
      for (auto& of_part : sum) {
        for (auto& plane : of_part) plane = _mm256_setzero_si256();
      }
      for (int64_t line = first; line < end; ++line) {
        const uint32_t* const words = tile + line * tile_rows;
        const __m256i lower[2] = {load_part(words, 0), load_part(words, 1)};
        const __m256i upper[2] = {_mm256_srli_epi16(lower[0], 4), _mm256_srli_epi16(lower[1], 4)};
        for (int bit = 0; bit < 4; ++bit) {
          const __m256i low_digits = load_digits(x + line * 32 + bit * 4);
          const __m256i high_digits = load_digits(x + line * 32 + bit * 4 + 16);
          for (int part = 0; part < 2; ++part) {
            const __m256i products = _mm256_add_epi16(
                _mm256_maddubs_epi16(_mm256_and_si256(lower[part], bits[bit]), low_digits),
                _mm256_maddubs_epi16(_mm256_and_si256(upper[part], bits[bit]), high_digits));
            sum[part][bit] = _mm256_add_epi16(sum[part][bit], products);
          }
        }
      }
      for (int part = 0; part < 2; ++part) {
        all[part] = _mm256_add_epi32(all[part], widened(sum[part]));
      }
    }
    for (int part = 0; part < 2; ++part) store_part(sums.ones, part, all[part]);
  }

  template <class Sums>
  static void code_sums(const PackedTiles& tiles, const uint32_t* tile, const int8_t* salient,
                        Sums& sums) {
    const __m256i nibble = _mm256_set1_epi8(15), one = _mm256_set1_epi16(1);
    const uint32_t* const lines = tile + tiles.sign_words * tile_rows;
    __m256i all[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t line = 0; line < tiles.code_words; ++line) {
      const __m256i even_digits = load_digits(salient + line * 8);
      const __m256i odd_digits = load_digits(salient + line * 8 + 4);
      for (int part = 0; part < 2; ++part) {
        const __m256i words = load_part(lines + line * tile_rows, part);
        const __m256i even = _mm256_and_si256(words, nibble);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(words, 4), nibble);
        // At most 4 * 15 * 128 in magnitude.
        const __m256i products = _mm256_add_epi16(_mm256_maddubs_epi16(even, even_digits),
                                                  _mm256_maddubs_epi16(odd, odd_digits));
        all[part] = _mm256_add_epi32(all[part], _mm256_madd_epi16(products, one));
      }
    }
    for (int part = 0; part < 2; ++part) store_part(sums.codes, part, all[part]);
  }

  template <int Tiles, int Digits>
  static void packed(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                     int64_t stride, PackedSums* sums) {
    static_assert(Tiles == 1);
    for (int digit = 0; digit < Digits; ++digit) {
      sign_sums(tiles, tile, x + digit * stride, sums[digit]);
      code_sums(tiles, tile, x + digit * stride + tiles.sign_words * 32, sums[digit]);
    }
  }

  template <int Tiles, int Digits>
  static void high_codes(const PackedTiles& tiles, const uint32_t* tile, const int8_t* salient,
                         int64_t stride, HighSums* sums) {
    static_assert(Tiles == 1);
    for (int digit = 0; digit < Digits; ++digit) {
      code_sums(tiles, tile, salient + digit * stride, sums[digit]);
    }
  }

  // The even and the odd bytes of every word, as 16-bit numbers. vpmaddubsw would not do: two
  // products of full bytes do not fit 16 bits.
  static __m256i even_bytes(__m256i words) {
    return _mm256_srai_epi16(_mm256_slli_epi16(words, 8), 8);
  }
  static __m256i odd_bytes(__m256i words) { return _mm256_srai_epi16(words, 8); }

  template <int Tiles, int Digits>
  static void int8(const Int8Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Int8Sums* sums) {
    const __m256i low_byte = _mm256_set1_epi16(255);
    __m256i all[Tiles][Digits][2];
    for (auto& of_tile : all) {
      for (auto& of_digit : of_tile) of_digit[0] = of_digit[1] = _mm256_setzero_si256();
    }
    for (int64_t line = 0; line < tiles.lines; ++line) {
      for (int digit = 0; digit < Digits; ++digit) {
        const __m256i digits = load_digits(x + digit * stride + line * 4);
        const __m256i even_digits = even_bytes(digits), odd_digits = odd_bytes(digits);
        for (int i = 0; i < Tiles; ++i) {
          const uint32_t* const words = tile + i * tiles.tile_words() + line * tile_rows;
          for (int part = 0; part < 2; ++part) {
            const __m256i weights = load_part(words, part);  // 0 .. 255
            const __m256i products = _mm256_add_epi32(
                _mm256_madd_epi16(_mm256_and_si256(weights, low_byte), even_digits),
                _mm256_madd_epi16(_mm256_srli_epi16(weights, 8), odd_digits));
            all[i][digit][part] = _mm256_add_epi32(all[i][digit][part], products);
          }
        }
      }
    }
    for (int i = 0; i < Tiles; ++i) {
      for (int digit = 0; digit < Digits; ++digit) {
        for (int part = 0; part < 2; ++part) {
          store_part(sums[i * Digits + digit].sums, part, all[i][digit][part]);
        }
      }
    }
  }
};

}  // namespace

const Kernel& avx2_kernel() {
  static constexpr Kernel kernel = {"avx2",           gather,           round_one_digit,
                                    round_two_digits, packed<Avx2Core>, packed_float,
                                    int8<Avx2Core>,   int8_float,       dense};
  return kernel;
}

}  // namespace bitmill::kernels::cpu

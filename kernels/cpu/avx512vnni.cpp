// The kernel for AVX-512 with VNNI. vpdpbusd multiplies four bytes of a word with four digits and
// adds them to the row's lane: 64 products an instruction, bound by its rate in cache, and by
// reading the weight from memory.

#include <immintrin.h>

#include "kernels/cpu/dense_loops.hpp"
#include "kernels/cpu/float_loops.hpp"
#include "kernels/cpu/input_loops.hpp"
#include "kernels/cpu/kernel.hpp"
#include "kernels/cpu/tile_walk.hpp"

namespace bitmill::kernels::cpu {
namespace {

// The line of a tile, kept in a register: GCC would otherwise load it anew for every use.
inline __m512i load_line(const uint32_t* line) {
  __m512i words = _mm512_load_si512(line);
  asm("" : "+v"(words));
  return words;
}
// One token walks over the weight once, faster than the processor fetches it ahead by itself: asks
// for the same place of the next tiles, in the second-level cache. Beyond the last tile it asks in
// vain, which does no harm.
inline void fetch_next_tiles(const uint32_t* line, int64_t words_ahead) {
  _mm_prefetch(reinterpret_cast<const char*>(line + words_ahead), _MM_HINT_T1);
}
// Four digits, for every row.
inline __m512i load_digits(const int8_t* x) {
  int32_t digits;
  __builtin_memcpy(&digits, x, sizeof(digits));
  return _mm512_set1_epi32(digits);
}

struct VnniCore {
  static constexpr int most_digits = 8;
  static constexpr int packed_tiles = 2, int8_tiles = 4;

  // sum[b] is 2^b times a sum; the divisions have no rest.
  static __m512i divided_sum(const __m512i (&sum)[4]) {
    const __m512i first = _mm512_add_epi32(sum[0], _mm512_srai_epi32(sum[1], 1));
    const __m512i second =
        _mm512_add_epi32(_mm512_srai_epi32(sum[2], 2), _mm512_srai_epi32(sum[3], 3));
    return _mm512_add_epi32(first, second);
  }

  // Few digits: the bits stay where they are in their bytes, as 1, 2, 4 or 8 (of the upper four,
  // after one shift), each with sums of its own, which are divided at the end.
  template <int Tiles, int Digits>
  static void sign_sums_in_place(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                                 int64_t stride, PackedSums* sums) {
    const __m512i bits[4] = {_mm512_set1_epi8(1), _mm512_set1_epi8(2), _mm512_set1_epi8(4),
                             _mm512_set1_epi8(8)};
    const int64_t tile_words = tiles.tile_words();
    __m512i all[Tiles][Digits][4];
    for (auto& of_tile : all) {
      for (auto& of_digit : of_tile) {
        for (auto& sum : of_digit) sum = _mm512_setzero_si512();
      }
    }
    for (int64_t line = 0; line < tiles.sign_words; ++line) {
      __m512i lower[Tiles], upper[Tiles];
      for (int i = 0; i < Tiles; ++i) {
        const uint32_t* const words = tile + i * tile_words + line * tile_rows;
        lower[i] = load_line(words);
        if constexpr (Digits == 1) fetch_next_tiles(words, Tiles * tile_words);
        upper[i] = _mm512_srli_epi16(lower[i], 4);
      }
      for (int bit = 0; bit < 4; ++bit) {
        for (int i = 0; i < Tiles; ++i) {
          const __m512i low_bits = _mm512_and_si512(lower[i], bits[bit]);
          const __m512i high_bits = _mm512_and_si512(upper[i], bits[bit]);
          for (int digit = 0; digit < Digits; ++digit) {
            const int8_t* const planes = x + digit * stride + line * 32;
            __m512i& sum = all[i][digit][bit];
            sum = _mm512_dpbusd_epi32(sum, low_bits, load_digits(planes + bit * 4));
            sum = _mm512_dpbusd_epi32(sum, high_bits, load_digits(planes + bit * 4 + 16));
          }
        }
      }
    }
    for (int i = 0; i < Tiles; ++i) {
      for (int digit = 0; digit < Digits; ++digit) {
        _mm512_store_si512(sums[i * Digits + digit].ones, divided_sum(all[i][digit]));
      }
    }
  }

  // Many digits: every bit is shifted to the place of 1, once for all digits, and a digit has one
  // sum.
  template <int Digits>
  static void sign_sums_shifted(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                                int64_t stride, PackedSums* sums) {
    const __m512i one = _mm512_set1_epi8(1);
    __m512i all[Digits];
    for (auto& sum : all) sum = _mm512_setzero_si512();
    for (int64_t line = 0; line < tiles.sign_words; ++line) {
      const __m512i words = load_line(tile + line * tile_rows);
      for (int bit = 0; bit < 8; ++bit) {
        const __m512i bits =
            _mm512_and_si512(_mm512_srli_epi16(words, static_cast<unsigned>(bit)), one);
        for (int digit = 0; digit < Digits; ++digit) {
          all[digit] = _mm512_dpbusd_epi32(all[digit], bits,
                                           load_digits(x + digit * stride + line * 32 + bit * 4));
        }
      }
    }
    for (int digit = 0; digit < Digits; ++digit) {
      _mm512_store_si512(sums[digit].ones, all[digit]);
    }
  }

  template <int Tiles, int Digits>
  static void code_sums(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                        int64_t stride, PackedSums* sums) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const int64_t tile_words = tiles.tile_words();
    const uint32_t* const lines = tile + tiles.sign_words * tile_rows;
    const int8_t* const salient = x + tiles.sign_words * 32;
    __m512i even[Tiles][Digits], odd[Tiles][Digits];
    for (int i = 0; i < Tiles; ++i) {
      for (int digit = 0; digit < Digits; ++digit) {
        even[i][digit] = odd[i][digit] = _mm512_setzero_si512();
      }
    }
    for (int64_t line = 0; line < tiles.code_words; ++line) {
      for (int i = 0; i < Tiles; ++i) {
        const uint32_t* const line_words = lines + i * tile_words + line * tile_rows;
        const __m512i words = load_line(line_words);
        if constexpr (Digits == 1) fetch_next_tiles(line_words, Tiles * tile_words);
        const __m512i even_codes = _mm512_and_si512(words, nibble);
        const __m512i odd_codes = _mm512_and_si512(_mm512_srli_epi16(words, 4), nibble);
        for (int digit = 0; digit < Digits; ++digit) {
          const int8_t* const digits = salient + digit * stride + line * 8;
          even[i][digit] = _mm512_dpbusd_epi32(even[i][digit], even_codes, load_digits(digits));
          odd[i][digit] = _mm512_dpbusd_epi32(odd[i][digit], odd_codes, load_digits(digits + 4));
        }
      }
    }
    for (int i = 0; i < Tiles; ++i) {
      for (int digit = 0; digit < Digits; ++digit) {
        _mm512_store_si512(sums[i * Digits + digit].codes,
                           _mm512_add_epi32(even[i][digit], odd[i][digit]));
      }
    }
  }

  template <int Tiles, int Digits>
  static void packed(const PackedTiles& tiles, const uint32_t* tile, const int8_t* x,
                     int64_t stride, PackedSums* sums) {
    if constexpr (Digits >= 4) {
      static_assert(Tiles == 1);
      sign_sums_shifted<Digits>(tiles, tile, x, stride, sums);
    } else {
      sign_sums_in_place<Tiles, Digits>(tiles, tile, x, stride, sums);
    }
    code_sums<Tiles, Digits>(tiles, tile, x, stride, sums);
  }

  template <int Tiles, int Digits>
  static void int8(const Int8Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Int8Sums* sums) {
    const int64_t tile_words = tiles.tile_words();
    __m512i all[Tiles][Digits];
    for (auto& of_tile : all) {
      for (auto& sum : of_tile) sum = _mm512_setzero_si512();
    }
    for (int64_t line = 0; line < tiles.lines; ++line) {
      for (int i = 0; i < Tiles; ++i) {
        const uint32_t* const words = tile + i * tile_words + line * tile_rows;
        const __m512i weights = load_line(words);
        if constexpr (Digits == 1) fetch_next_tiles(words, Tiles * tile_words);
        for (int digit = 0; digit < Digits; ++digit) {
          all[i][digit] = _mm512_dpbusd_epi32(all[i][digit], weights,
                                              load_digits(x + digit * stride + line * 4));
        }
      }
    }
    for (int i = 0; i < Tiles; ++i) {
      for (int digit = 0; digit < Digits; ++digit) {
        _mm512_store_si512(sums[i * Digits + digit].sums, all[i][digit]);
      }
    }
  }
};

}  // namespace

const Kernel& avx512vnni_kernel() {
  static constexpr Kernel kernel = {"avx512vnni",     gather,           round_one_digit,
                                    round_two_digits, packed<VnniCore>, packed_float,
                                    int8<VnniCore>,   int8_float,       dense};
  return kernel;
}

}  // namespace bitmill::kernels::cpu

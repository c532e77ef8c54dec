#pragma once
// Says where the bits of a packed weight are. Host code, kernels and the file reader include this
// file; no other code may shift or mask packed bits, but for the CPU kernels, which take whole
// words apart (kernels/cpu/README.md). FORMAT.md describes the whole format.
//
// A linear's weight is [rows = out, cols = in]. A column is salient (4 bits per weight) or low
// (1 bit per weight); the split is per column and shared by all rows. Columns are numbered within
// their own part, in ascending order of source column.
//
//   signs      uint32 [rows, words_for(low_cols, 32)]    bit b of word w: low column 32 w + b
//                                                        1 = +1: at or above the row's mean
//   codes      uint32 [rows, words_for(salient_cols, 8)] nibble n of word w: salient column 8 w + n
//   mask       uint32 [words_for(cols, 32)]              bit b of word w: source column 32 w + b
//                                                        1 = salient
//   code_zero  uint32 [words_for(rows, 8)]               nibble n of word w: row 8 w + n
//
// Bit 0 and nibble 0 are the least significant. Unused bits of a last word are 0.

#include <cstdint>

namespace bitmill::packed {

inline constexpr int format_version = 1;

inline constexpr int bits_per_word = 32;
inline constexpr int bits_per_code = 4;
inline constexpr int codes_per_word = 8;
inline constexpr int largest_code = 15;
static_assert(codes_per_word * bits_per_code == bits_per_word);

constexpr int64_t words_for(int64_t items, int64_t per_word) {
  return (items + per_word - 1) / per_word;
}

constexpr uint32_t get_bit(const uint32_t* words, int64_t index) {
  return (words[index / bits_per_word] >> (index % bits_per_word)) & 1U;
}
constexpr void set_bit(uint32_t* words, int64_t index) {
  words[index / bits_per_word] |= 1U << (index % bits_per_word);
}
constexpr uint32_t get_code(const uint32_t* words, int64_t index) {
  return (words[index / codes_per_word] >> (index % codes_per_word * bits_per_code)) & 15U;
}
// REQUIRES: the nibble is 0.
constexpr void set_code(uint32_t* words, int64_t index, uint32_t code) {
  words[index / codes_per_word] |= code << (index % codes_per_word * bits_per_code);
}

}  // namespace bitmill::packed

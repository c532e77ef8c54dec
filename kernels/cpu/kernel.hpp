#pragma once
// The CPU kernels: what each of them computes, on which arrays. There is one table of functions per
// kind of processor: plain (C++ for any), avx2, avx512vnni. README.md beside this has the layout.
//
// All tables give the same bits. Sums of whole numbers are exact. Operations on floats are the same
// ones in the same order, none of them fused, so that only their number at a time differs.
//
// Nothing here allocates, starts threads or checks. Callers (src/product) give whole arrays without
// overlap, and choose a table that the processor can run.

#include <cstdint>

namespace bitmill::kernels::cpu {

// Rows that are computed together. A tile is a sequence of lines; a line has one 32-bit word for
// each of its rows.
inline constexpr int tile_rows = 16;

// A tile of a packed linear: sign_words lines of signs, code_words lines of codes, then two lines:
//   float16 row_scale[16], row_mean[16], code_scale[16], uint8 code_zero[16], 16 unused bytes.
inline constexpr int64_t packed_end_words = int64_t{2} * tile_rows;
// A tile of an int8 weight: lines of 4 columns each, byte k of a word is weight + 128 of column
// 4 line + k; then one line: float32 scale[16].
inline constexpr int64_t int8_end_words = tile_rows;

// The whole numbers of one digit of one token.
struct DigitSums {
  int32_t low = 0;           // sum of the digits of the low columns; int8 weights: of all columns
  int32_t salient = 0;       // of the salient columns
  int32_t salient_high = 0;  // of their second digits, see DigitInput::high_salient
};
struct TokenScales {
  float low = 0;        // what 1 stands for in the low columns; int8 weights: in all columns
  float salient = 0;    // in the salient columns
  float low_total = 0;  // the sum of the low columns' whole numbers
};

// Tokens as whole numbers of one or two digits: value = digit, or value = 256 digit 0 + digit 1.
// With one digit, the salient columns alone may have a second one: value = digit + 256 high.
struct DigitInput {
  int64_t tokens = 0;
  int digits = 1;             // of a token: 1 or 2
  const int8_t* values;       // [tokens, digits, stride]; README.md has the order of the columns
  int64_t stride;             // bytes from digit to digit, a multiple of 64
  const DigitSums* sums;      // [tokens, digits]
  const TokenScales* scales;  // [tokens]
  // Bytes from a token's salient digits to the high ones of the same columns; 0: no token has any.
  // A token without has zeros there, and the bits of its result are the same either way.
  int64_t high_salient = 0;
};
// Tokens as floats, in the order of the columns that README.md has.
struct FloatInput {
  int64_t tokens = 0;
  const float* values;  // [tokens, stride]
  int64_t stride;
  const float* sums;  // [tokens], of the low columns; for packed linears only
};
// Rows [0, rows) of the tiles go to y[t * stride + row].
struct Output {
  float* values;
  int64_t rows;
  int64_t stride;
};

struct PackedTiles {
  const uint32_t* words;  // [piece_count(rows, 16), tile], 64-byte aligned
  int64_t sign_words;     // lines of signs
  int64_t code_words;     // lines of codes
  [[gnu::always_inline]] int64_t tile_words() const {
    return (sign_words + code_words) * tile_rows + packed_end_words;
  }
};
struct Int8Tiles {
  const uint32_t* words;  // [piece_count(rows, 16), tile], 64-byte aligned
  int64_t lines;          // of 4 columns
  [[gnu::always_inline]] int64_t tile_words() const { return lines * tile_rows + int8_end_words; }
};
enum class FloatKind { float32, float16, bfloat16 };
struct DenseRows {
  const void* values;  // [rows, cols], row-major
  FloatKind kind;
  int64_t cols;
};

// Where the columns of a token come from.
struct GatherTable {
  const int32_t* source;  // [count] places in x
  const float* gain;      // [count]
  int64_t count;          // a multiple of 16
};

struct Kernel {
  const char* name;

  // out[i] = gain[i] * x[source[i]]. Returns the bits of the largest magnitude, as a whole number:
  // 0x7f800000 or more when one of them is not finite.
  uint32_t (*gather)(const float* x, const GatherTable& table, float* out);
  // digit[i] = values[i] * inverse, rounded to the nearest whole number, ties to even. Returns
  // their sum. REQUIRES: at most 127 in magnitude; `count` a multiple of 16.
  int32_t (*round_one_digit)(const float* values, int64_t count, float inverse, int8_t* digit);
  // The same in two digits, `high` and `low`, at most 32639 in magnitude. Returns both sums.
  void (*round_two_digits)(const float* values, int64_t count, float inverse, int8_t* high,
                           int8_t* low, int32_t sums[2]);

  // Products of tiles with tokens; README.md has the formulas.
  void (*packed)(const PackedTiles& tiles, const DigitInput& x, const Output& y);
  void (*packed_float)(const PackedTiles& tiles, const FloatInput& x, const Output& y);
  void (*int8)(const Int8Tiles& tiles, const DigitInput& x, const Output& y);
  void (*int8_float)(const Int8Tiles& tiles, const FloatInput& x, const Output& y);
  // x: cols floats per token, in the weight's order.
  void (*dense)(const DenseRows& rows, const FloatInput& x, const Output& y);
};

// Runs everywhere.
const Kernel& plain_kernel();
#ifdef BITMILL_X86_KERNELS
// REQUIRES of their functions, not of these two: AVX2 and F16C; AVX-512 F, BW, DQ, VL and VNNI.
const Kernel& avx2_kernel();
const Kernel& avx512vnni_kernel();
#endif

}  // namespace bitmill::kernels::cpu

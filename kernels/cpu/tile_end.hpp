#pragma once
// From a tile's whole sums to its rows of y: the only floats of an integer product, in one fixed
// order. Internal linkage, as lanes.hpp says.

#include "kernels/cpu/lanes.hpp"

namespace bitmill::kernels::cpu {
namespace {

// The last lines of a packed tile.
struct PackedEnd {
  const uint16_t* row_scale;  // float16 [16]
  const uint16_t* row_mean;
  const uint16_t* code_scale;
  const uint8_t* code_zero;  // [16]
};
inline PackedEnd packed_end(const PackedTiles& tiles, const uint32_t* tile) {
  const auto* const halves =
      reinterpret_cast<const uint16_t*>(tile + (tiles.sign_words + tiles.code_words) * tile_rows);
  return {halves, halves + tile_rows, halves + 2 * tile_rows,
          reinterpret_cast<const uint8_t*>(halves + 3 * tile_rows)};
}
inline IntLanes load_zeros(const uint8_t* zeros) {
  IntLanes lanes;
  for (int lane = 0; lane < lane_count; ++lane) lanes[lane] = zeros[lane];
  return lanes;
}

// Sums of a tile for one digit of one token.
struct alignas(64) PackedSums {
  int32_t ones[tile_rows];   // of the digits whose sign is +1
  int32_t codes[tile_rows];  // of code times digit
};

inline FloatLanes low_sum(const PackedSums& sums, const DigitSums& all, int lane) {
  return to_float(2 * load<IntLanes>(sums.ones + lane) - all.low);  // +1 and -1 from 1 and 0
}
inline FloatLanes salient_sum(const PackedSums& sums, const DigitSums& all, int lane,
                              const IntLanes& zeros) {
  return to_float(load<IntLanes>(sums.codes + lane) - zeros * all.salient);
}

// The sums of code times high digit, where tokens of one digit have them.
struct alignas(64) HighSums {
  int32_t codes[tile_rows];
};
inline FloatLanes high_salient_sum(const HighSums& sums, const DigitSums& all, int lane,
                                   const IntLanes& zeros) {
  return to_float(load<IntLanes>(sums.codes + lane) - zeros * all.salient_high);
}

// y = (s S + m total) scale + k (Q - z total) salient_scale, for the 16 rows of a tile. `sums` and
// `all` have one entry for each digit of the token. `high` is null where there are no such digits.
template <int TokenDigits>
void end_packed(const PackedEnd& end, const PackedSums* sums, const HighSums* high,
                const DigitSums* all, const TokenScales& scales, float y[tile_rows]) {
  for (int lane = 0; lane < tile_rows; lane += lane_count) {
    const IntLanes zeros = load_zeros(end.code_zero + lane);
    FloatLanes low = low_sum(sums[0], all[0], lane);
    FloatLanes salient = salient_sum(sums[0], all[0], lane, zeros);
    if constexpr (TokenDigits == 2) {
      low = low * 256.0F + low_sum(sums[1], all[1], lane);
      salient = salient * 256.0F + salient_sum(sums[1], all[1], lane, zeros);
    } else if (high != nullptr) {
      salient = high_salient_sum(*high, all[0], lane, zeros) * 256.0F + salient;
    }
    const FloatLanes low_part =
        load_half(end.row_scale + lane) * low + load_half(end.row_mean + lane) * scales.low_total;
    const FloatLanes salient_part = load_half(end.code_scale + lane) * salient;
    store(y + lane, low_part * scales.low + salient_part * scales.salient);
  }
}

struct alignas(64) Int8Sums {
  int32_t sums[tile_rows];  // of (weight + 128) times digit, modulo 2^32
};

inline FloatLanes weight_sum(const Int8Sums& sums, const DigitSums& all, int lane) {
  const WordLanes moved = load<WordLanes>(sums.sums + lane);
  return to_float((IntLanes)(moved - 128U * static_cast<uint32_t>(all.low)));
}

// y = row's scale * sum * scale.
template <int TokenDigits>
void end_int8(const float row_scales[tile_rows], const Int8Sums* sums, const DigitSums* all,
              const TokenScales& scales, float y[tile_rows]) {
  for (int lane = 0; lane < tile_rows; lane += lane_count) {
    FloatLanes sum = weight_sum(sums[0], all[0], lane);
    if constexpr (TokenDigits == 2) sum = sum * 256.0F + weight_sum(sums[1], all[1], lane);
    store(y + lane, load<FloatLanes>(row_scales + lane) * sum * scales.low);
  }
}

}  // namespace
}  // namespace bitmill::kernels::cpu

#pragma once
// Products with tokens in float32, written once for all widths. A row's sum has a fixed number of
// partial sums and a fixed order, so that all widths round alike. Internal linkage, as lanes.hpp
// says.

#include "kernels/cpu/tile_end.hpp"

namespace bitmill::kernels::cpu {
namespace {

// Partial sums of a row: neighbours in a chain of additions would wait for each other.
constexpr int chains = 4;

struct TileChains {
  FloatLanes sums[chains][tile_parts] = {};

  FloatLanes total(int part) const {
    return (sums[0][part] + sums[1][part]) + (sums[2][part] + sums[3][part]);
  }
};

// Adds x with the sign that bit `bit` of each row's word says.
inline void add_signed(TileChains& chains_of, const uint32_t* line, int bit, float x) {
  for (int part = 0; part < tile_parts; ++part) {
    const auto words = load<WordLanes>(line + part * lane_count);
    const WordLanes minus = (~words << (31 - bit)) & 0x80000000U;
    const FloatLanes values = FloatLanes{} + x;
    chains_of.sums[bit % chains][part] += (FloatLanes)((WordLanes)values ^ minus);
  }
}

inline void low_chains(const PackedTiles& tiles, const uint32_t* tile, const float* x,
                       TileChains& low) {
  for (int64_t line = 0; line < tiles.sign_words; ++line) {
    for (int bit = 0; bit < 32; bit += chains) {
      for (int chain = 0; chain < chains; ++chain) {
        add_signed(low, tile + line * tile_rows, bit + chain, x[line * 32 + bit + chain]);
      }
    }
  }
}

inline void salient_chains(const PackedTiles& tiles, const uint32_t* tile, const uint8_t* zeros,
                           const float* x, TileChains& salient) {
  const uint32_t* const lines = tile + tiles.sign_words * tile_rows;
  for (int64_t line = 0; line < tiles.code_words; ++line) {
    for (int part = 0; part < tile_parts; ++part) {
      const auto words = load<WordLanes>(lines + line * tile_rows + part * lane_count);
      const IntLanes zero = load_zeros(zeros + part * lane_count);
      for (int code = 0; code < 8; ++code) {
        const IntLanes steps = (IntLanes)((words >> (4 * code)) & 15U) - zero;
        salient.sums[code % chains][part] += to_float(steps) * x[line * 8 + code];
      }
    }
  }
}

// y = (s (sum of signed x^) + m (sum of x^)) + k (sum of (q - z) x).
inline void packed_float(const PackedTiles& tiles, const FloatInput& x, const Output& y) {
  for (int64_t row = 0; row < y.rows; row += tile_rows) {
    const uint32_t* const tile = tiles.words + row / tile_rows * tiles.tile_words();
    const PackedEnd end = packed_end(tiles, tile);
    for (int64_t token = 0; token < x.tokens; ++token) {
      const float* const values = x.values + token * x.stride;
      TileChains low, salient;
      low_chains(tiles, tile, values, low);
      salient_chains(tiles, tile, end.code_zero, values + tiles.sign_words * 32, salient);
      alignas(64) float out[tile_rows];
      for (int part = 0; part < tile_parts; ++part) {
        const int lane = part * lane_count;
        store(out + lane, (load_half(end.row_scale + lane) * low.total(part) +
                           load_half(end.row_mean + lane) * x.sums[token]) +
                              load_half(end.code_scale + lane) * salient.total(part));
      }
      const int64_t left = y.rows - row;
      store_rows(out, left < tile_rows ? left : tile_rows, y.values + token * y.stride + row);
    }
  }
}

// y = row's scale * (sum of weight * x).
inline void int8_float(const Int8Tiles& tiles, const FloatInput& x, const Output& y) {
  for (int64_t row = 0; row < y.rows; row += tile_rows) {
    const uint32_t* const tile = tiles.words + row / tile_rows * tiles.tile_words();
    for (int64_t token = 0; token < x.tokens; ++token) {
      const float* const values = x.values + token * x.stride;
      TileChains sums;
      for (int64_t line = 0; line < tiles.lines; ++line) {
        for (int part = 0; part < tile_parts; ++part) {
          const auto words = load<WordLanes>(tile + line * tile_rows + part * lane_count);
          for (int byte = 0; byte < 4; ++byte) {
            const IntLanes weights = (IntLanes)((words >> (8 * byte)) & 255U) - 128;
            sums.sums[byte][part] += to_float(weights) * values[line * 4 + byte];
          }
        }
      }
      alignas(64) float out[tile_rows];
      for (int part = 0; part < tile_parts; ++part) {
        const int lane = part * lane_count;
        const auto scales = load<FloatLanes>(tile + tiles.lines * tile_rows + lane);
        store(out + lane, scales * sums.total(part));
      }
      const int64_t left = y.rows - row;
      store_rows(out, left < tile_rows ? left : tile_rows, y.values + token * y.stride + row);
    }
  }
}

}  // namespace
}  // namespace bitmill::kernels::cpu

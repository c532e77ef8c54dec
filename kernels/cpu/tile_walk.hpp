#pragma once
// The loop over tiles and tokens that all integer products share. What differs between processors
// is a Core: how the sums of a few tiles and a few digits are formed. Internal linkage, as
// lanes.hpp says.
//
//   struct Core {
//     static constexpr int most_digits;    // 2, 4 or 8
//     static constexpr int packed_tiles, int8_tiles;  // at once, for one digit: 1, 2 or 4
//     // Sums of `Tiles` tiles, `tile_words` apart, and `Digits` digits, `stride` bytes apart, to
//     // sums[tile * Digits + digit].
//     template <int Tiles, int Digits>
//     static void packed(const PackedTiles&, const uint32_t* tile, const int8_t* x, int64_t stride,
//                        PackedSums* sums);
//     // The sums of code times digit alone, for digits that begin at `salient`.
//     template <int Tiles, int Digits>
//     static void high_codes(const PackedTiles&, const uint32_t* tile, const int8_t* salient,
//                            int64_t stride, HighSums* sums);
//     template <int Tiles, int Digits>
//     static void int8(const Int8Tiles&, const uint32_t* tile, const int8_t* x, int64_t stride,
//                      Int8Sums* sums);
//   };

#include "kernels/cpu/tile_end.hpp"

namespace bitmill::kernels::cpu {
namespace {

// One form of weight: which functions of a Core and which end belong to it.
template <class Core>
struct PackedWalk {
  using Tiles = PackedTiles;
  using Sums = PackedSums;
  static constexpr int tiles_at_once = Core::packed_tiles;
  template <int TileCount, int Digits>
  static void form(const Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Sums* sums) {
    Core::template packed<TileCount, Digits>(tiles, tile, x, stride, sums);
  }
  template <int TileCount, int Digits>
  static void form_high(const Tiles& tiles, const uint32_t* tile, const int8_t* x,
                        const DigitInput& input, HighSums* sums) {
    Core::template high_codes<TileCount, Digits>(
        tiles, tile, x + tiles.sign_words * 32 + input.high_salient, input.stride, sums);
  }
  template <int TokenDigits>
  static void end(const Tiles& tiles, const uint32_t* tile, const Sums* sums, const HighSums* high,
                  const DigitSums* all, const TokenScales& scales, float* y) {
    end_packed<TokenDigits>(packed_end(tiles, tile), sums, high, all, scales, y);
  }
};
template <class Core>
struct Int8Walk {
  using Tiles = Int8Tiles;
  using Sums = Int8Sums;
  static constexpr int tiles_at_once = Core::int8_tiles;
  template <int TileCount, int Digits>
  static void form(const Tiles& tiles, const uint32_t* tile, const int8_t* x, int64_t stride,
                   Sums* sums) {
    Core::template int8<TileCount, Digits>(tiles, tile, x, stride, sums);
  }
  // These weights have no salient columns.
  template <int TileCount, int Digits>
  static void form_high(const Tiles&, const uint32_t*, const int8_t*, const DigitInput&,
                        HighSums*) {}
  template <int TokenDigits>
  static void end(const Tiles& tiles, const uint32_t* tile, const Sums* sums, const HighSums*,
                  const DigitSums* all, const TokenScales& scales, float* y) {
    const auto* const row_scales = reinterpret_cast<const float*>(tile + tiles.lines * tile_rows);
    end_int8<TokenDigits>(row_scales, sums, all, scales, y);
  }
};

template <class Walk, int TokenDigits>
class TileLoop {
 public:
  TileLoop(const typename Walk::Tiles& tiles, const DigitInput& x, const Output& y)
      : tiles_(tiles), x_(x), y_(y), digits_(x.tokens * TokenDigits) {}

  template <int MostDigits>
  void run() const {
    const int64_t count = (y_.rows + tile_rows - 1) / tile_rows;
    int64_t tile = 0;
    if constexpr (TokenDigits == 1) {
      if (digits_ == 1) {  // several tiles share what is loaded of x, and hide their latencies
        for (; tile + Walk::tiles_at_once <= count; tile += Walk::tiles_at_once) {
          block<Walk::tiles_at_once, 1>(tile, 0);
        }
      }
    }
    for (; tile < count; ++tile) {
      int64_t digit = 0;
      if constexpr (MostDigits >= 8) digit = blocks_of<8>(tile, digit);
      if constexpr (MostDigits >= 4) digit = blocks_of<4>(tile, digit);
      digit = blocks_of<2>(tile, digit);
      if constexpr (TokenDigits == 1) blocks_of<1>(tile, digit);
    }
  }

 private:
  template <int Digits>
  int64_t blocks_of(int64_t tile, int64_t digit) const {
    for (; digit + Digits <= digits_; digit += Digits) block<1, Digits>(tile, digit);
    return digit;
  }

  template <int Tiles, int Digits>
  void block(int64_t first_tile, int64_t first_digit) const {
    static_assert(Digits % TokenDigits == 0);
    typename Walk::Sums sums[Tiles * Digits];
    const uint32_t* const words = tiles_.words + first_tile * tiles_.tile_words();
    const int8_t* const x = x_.values + first_digit * x_.stride;
    Walk::template form<Tiles, Digits>(tiles_, words, x, x_.stride, sums);
    HighSums high[Tiles * Digits];
    const bool has_high = TokenDigits == 1 && x_.high_salient > 0;
    if (has_high) Walk::template form_high<Tiles, Digits>(tiles_, words, x, x_, high);
    for (int tile = 0; tile < Tiles; ++tile) {
      for (int digit = 0; digit < Digits; digit += TokenDigits) {
        const int at = tile * Digits + digit;
        end(first_tile + tile, first_digit + digit, sums + at, has_high ? high + at : nullptr);
      }
    }
  }

  void end(int64_t tile, int64_t digit, const typename Walk::Sums* sums,
           const HighSums* high) const {
    const int64_t token = digit / TokenDigits;
    const int64_t row = tile * tile_rows;
    const uint32_t* const words = tiles_.words + tile * tiles_.tile_words();
    float* const y = y_.values + token * y_.stride + row;
    const bool whole = row + tile_rows <= y_.rows;
    alignas(64) float part[tile_rows];
    Walk::template end<TokenDigits>(tiles_, words, sums, high, x_.sums + digit, x_.scales[token],
                                    whole ? y : part);
    if (!whole) store_rows(part, y_.rows - row, y);
  }

  const typename Walk::Tiles& tiles_;
  const DigitInput& x_;
  const Output& y_;
  const int64_t digits_;
};

template <class Walk, int MostDigits>
void walk(const typename Walk::Tiles& tiles, const DigitInput& x, const Output& y) {
  if (x.digits == 2) {
    TileLoop<Walk, 2>(tiles, x, y).template run<MostDigits>();
  } else {
    TileLoop<Walk, 1>(tiles, x, y).template run<MostDigits>();
  }
}

template <class Core>
void packed(const PackedTiles& tiles, const DigitInput& x, const Output& y) {
  walk<PackedWalk<Core>, Core::most_digits>(tiles, x, y);
}
template <class Core>
void int8(const Int8Tiles& tiles, const DigitInput& x, const Output& y) {
  walk<Int8Walk<Core>, Core::most_digits>(tiles, x, y);
}

}  // namespace
}  // namespace bitmill::kernels::cpu

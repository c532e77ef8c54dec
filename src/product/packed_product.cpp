#include "product/packed_product.hpp"

#include <algorithm>
#include <cstring>

#include "base/pieces.hpp"
#include "format/packed_layout.hpp"
#include "product/tiled_product.hpp"

namespace bitmill {
namespace {

using kernels::cpu::PackedTiles;
using kernels::cpu::tile_rows;

// Words of `row` of a matrix of words go to lane `row` of the tile's lines.
void put_words(const std::vector<uint32_t>& words, int64_t row, int64_t row_words,
               uint32_t* lines) {
  const uint32_t* const from = words.data() + row * row_words;
  for (int64_t word = 0; word < row_words; ++word) {
    lines[word * tile_rows + row % tile_rows] = from[word];
  }
}

// The scales and the zero of a row: kernels/cpu/kernel.hpp says where they are.
void put_scales(const PackedLinear& linear, int64_t row, uint32_t* end) {
  const int64_t lane = row % tile_rows;
  auto* const bytes = reinterpret_cast<std::byte*>(end);
  const auto put_half = [&](int64_t vector, uint16_t half) {
    std::memcpy(bytes + (vector * tile_rows + lane) * 2, &half, sizeof(half));
  };
  put_half(0, linear.row_scale[row]);
  put_half(1, linear.row_mean[row]);
  put_half(2, linear.code_scale[row]);
  const auto zero = static_cast<uint8_t>(packed::get_code(linear.code_zero.data(), row));
  bytes[int64_t{3} * tile_rows * 2 + lane] = std::byte{zero};
}

PackedTiles repacked(const PackedLinear& linear, WeightMemory& memory) {
  PackedTiles tiles{nullptr, packed::words_for(linear.low_cols(), packed::bits_per_word),
                    packed::words_for(linear.salient_cols, packed::codes_per_word)};
  const int64_t tile_words = tiles.tile_words();
  const int64_t words = piece_count(linear.rows, tile_rows) * tile_words;
  auto* const to = reinterpret_cast<uint32_t*>(memory.take(words * sizeof(uint32_t)).data());
  for (int64_t row = 0; row < linear.rows; ++row) {
    uint32_t* const tile = to + row / tile_rows * tile_words;
    uint32_t* const codes = tile + tiles.sign_words * tile_rows;
    put_words(linear.signs, row, tiles.sign_words, tile);
    put_words(linear.codes, row, tiles.code_words, codes);
    put_scales(linear, row, codes + tiles.code_words * tile_rows);
  }
  tiles.words = to;
  return tiles;
}

}  // namespace

std::unique_ptr<Product> make_packed_product(const PackedLinear& linear, const std::string& name,
                                             const ProductOptions& options) {
  const CpuKernel& kernel = *options.kernel;
  return std::make_unique<TiledProduct<PackedTiles>>(
      linear.rows, linear.cols, repacked(linear, *options.memory),
      InputTable(linear, options.activations),
      TileFunctions<PackedTiles>{kernel.packed, kernel.packed_float}, name, options);
}

}  // namespace bitmill

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "product/dense_product.hpp"
#include "product/tiled_product.hpp"

namespace bitmill {
namespace {

using kernels::cpu::Int8Tiles;
using kernels::cpu::tile_rows;

constexpr int64_t columns_of_a_line = 4;
constexpr float largest_weight = 127.0F;
constexpr int byte_of_zero = 128;  // bytes are weight + 128

// Puts one row into lane row % 16 of its tile.
void put_row(std::span<const float> weight, int64_t row, const Int8Tiles& tiles, uint32_t* tile,
             const std::string& name) {
  const int64_t lane = row % tile_rows;
  float largest = 0;
  for (const float value : weight) {
    BITMILL_CHECK(std::isfinite(value), NumericError,
                  fmt::format("{}: row {} holds {}, not a finite number", name, row, value));
    largest = std::max(largest, std::abs(value));
  }
  const float scale = largest / largest_weight;
  auto* const bytes = reinterpret_cast<uint8_t*>(tile);
  for (int64_t col = 0; col < std::ssize(weight); ++col) {
    const float steps = scale > 0 ? std::nearbyint(weight[col] / scale) : 0.0F;
    const auto step = static_cast<int>(std::clamp(steps, -largest_weight, largest_weight));
    const int64_t word = col / columns_of_a_line * tile_rows + lane;
    bytes[word * columns_of_a_line + col % columns_of_a_line] =
        static_cast<uint8_t>(step + byte_of_zero);
  }
  reinterpret_cast<float*>(tile + tiles.lines * tile_rows)[lane] = scale;
}

}  // namespace

std::unique_ptr<Product> make_int8_product(std::span<const std::byte> weight, Dtype dtype,
                                           int64_t rows, int64_t cols, const std::string& name,
                                           const ProductOptions& options) {
  Int8Tiles tiles{nullptr, piece_count(cols, columns_of_a_line)};
  const int64_t tile_words = tiles.tile_words();
  const int64_t words = piece_count(rows, tile_rows) * tile_words;
  auto* const to =
      reinterpret_cast<uint32_t*>(options.memory->take(words * sizeof(uint32_t)).data());
  std::vector<float> widened(cols);
  const int64_t row_bytes = cols * dtype_bytes(dtype);
  for (int64_t row = 0; row < rows; ++row) {
    to_float32(dtype, weight.subspan(row * row_bytes, row_bytes), widened);
    put_row(widened, row, tiles, to + row / tile_rows * tile_words, name);
  }
  tiles.words = to;
  const CpuKernel& kernel = *options.kernel;
  return std::make_unique<TiledProduct<Int8Tiles>>(
      rows, cols, tiles, InputTable(cols), TileFunctions<Int8Tiles>{kernel.int8, kernel.int8_float},
      name, options);
}

}  // namespace bitmill

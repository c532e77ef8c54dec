#pragma once
// What products of weights in tiles of 16 rows have in common: how tokens and tiles are cut into
// tasks. The cut follows the number of threads: a row of y is computed by itself, so no cut changes
// a bit of it.

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/pieces.hpp"
#include "product/product.hpp"
#include "product/token_input.hpp"

namespace bitmill {

// Tokens that are rounded and multiplied together: their input stays in the second-level cache
// while a thread walks over the tiles.
inline constexpr int64_t tokens_at_once = 64;
// Sums of so many columns fit 32 bits in every kernel: int8 weights have 127 * 128 a column.
inline constexpr int64_t largest_product_cols = int64_t{1} << 17;
// So many tasks for each thread: a thread that is held up leaves its last ones to others.
inline constexpr int64_t tasks_per_thread = 4;

// Items of one task, a multiple of `unit`.
inline int64_t items_per_task(int64_t items, int64_t unit, const ThreadPool& pool) {
  const int64_t tasks = pool.size() == 1 ? 1 : pool.size() * tasks_per_thread;
  return std::max(unit, rounded_up(piece_count(items, tasks), unit));
}

// The two functions of a CpuKernel that a form of tiles has.
template <class Tiles>
struct TileFunctions {
  void (*digits)(const Tiles&, const kernels::cpu::DigitInput&, const kernels::cpu::Output&);
  void (*floats)(const Tiles&, const kernels::cpu::FloatInput&, const kernels::cpu::Output&);
};

template <class Tiles>
class TiledProduct final : public Product {
 public:
  // `tiles` points into options.memory.
  TiledProduct(int64_t rows, int64_t cols, const Tiles& tiles, InputTable table,
               const TileFunctions<Tiles>& functions, std::string name,
               const ProductOptions& options)
      : rows_(rows),
        cols_(cols),
        tiles_(tiles),
        table_(std::move(table)),
        functions_(functions),
        name_(std::move(name)),
        options_(options) {
    BITMILL_CHECK(
        cols <= largest_product_cols, FormatError,
        fmt::format("{}: {} columns; products take at most {}", name_, cols, largest_product_cols));
  }

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t weight_bytes() const override {
    return piece_count(rows_, kernels::cpu::tile_rows) * tiles_.tile_words() *
           static_cast<int64_t>(sizeof(uint32_t));
  }
  int64_t resident_bytes() const override { return weight_bytes() + table_.resident_bytes(); }

  void multiply(std::span<const float> x, int64_t tokens, std::span<float> y,
                ThreadPool& pool) const override {
    assert(std::ssize(x) == tokens * cols_ && std::ssize(y) == tokens * rows_);
    const InputMaker maker{table_, *options_.kernel, name_, cols_};
    for_pieces(tokens, tokens_at_once, [&](int64_t first, int64_t count) {
      const auto part = x.subspan(first * cols_, count * cols_);
      float* const out = y.data() + first * rows_;
      if (options_.activations == Activations::float32) {
        const FloatTokens input(maker, part, count, pool);
        run(functions_.floats, input.view(), out, pool);
      } else {
        const DigitTokens input(maker, options_.activations, part, count, pool);
        run(functions_.digits, input.view(), out, pool);
      }
    });
  }

 private:
  template <class Function, class Input>
  void run(Function function, const Input& input, float* y, ThreadPool& pool) const {
    constexpr int64_t tile_rows = kernels::cpu::tile_rows;
    constexpr int64_t tiles_of_a_task = 4;  // no kernel takes more at once
    const int64_t rows_of_a_task = items_per_task(rows_, tiles_of_a_task * tile_rows, pool);
    parallel_pieces(pool, rows_, rows_of_a_task, [&](int64_t row, int64_t count) {
      Tiles part = tiles_;
      part.words += row / tile_rows * tiles_.tile_words();
      function(part, input, {y + row, count, rows_});
    });
  }

  const int64_t rows_, cols_;
  const Tiles tiles_;
  const InputTable table_;
  const TileFunctions<Tiles> functions_;
  const std::string name_;
  const ProductOptions options_;
};

}  // namespace bitmill

#include "product/dense_product.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "base/error.hpp"
#include "product/tiled_product.hpp"

namespace bitmill {
namespace {

using kernels::cpu::FloatKind;

FloatKind float_kind(Dtype dtype, const std::string& name) {
  if (dtype == Dtype::float32) return FloatKind::float32;
  if (dtype == Dtype::float16) return FloatKind::float16;
  if (dtype == Dtype::bfloat16) return FloatKind::bfloat16;
  throw FormatError(fmt::format("{}: its dtype {} is none of float32, float16, bfloat16", name,
                                dtype_name(dtype)));
}

class DenseProduct final : public Product {
 public:
  DenseProduct(std::span<const std::byte> weight, FloatKind kind, int64_t rows, int64_t cols,
               const ProductOptions& options)
      : rows_(rows), cols_(cols), kind_(kind), options_(options) {
    weight_ = options_.memory->take(weight.size());
    std::ranges::copy(weight, weight_.begin());
  }

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t weight_bytes() const override { return std::ssize(weight_); }
  int64_t resident_bytes() const override { return weight_bytes(); }

  void multiply(std::span<const float> x, int64_t tokens, std::span<float> y,
                ThreadPool& pool) const override {
    assert(std::ssize(x) == tokens * cols_ && std::ssize(y) == tokens * rows_);
    constexpr int64_t rows_of_a_task = 16;
    if (rows_ == 0) return;
    const int64_t row_bytes = std::ssize(weight_) / rows_;
    for_pieces(tokens, tokens_at_once, [&](int64_t first, int64_t count) {
      const kernels::cpu::FloatInput input{count, x.data() + first * cols_, cols_, nullptr};
      float* const out = y.data() + first * rows_;
      parallel_pieces(pool, rows_, items_per_task(rows_, rows_of_a_task, pool),
                      [&](int64_t row, int64_t row_count) {
                        options_.kernel->dense({weight_.data() + row * row_bytes, kind_, cols_},
                                               input, {out + row, row_count, rows_});
                      });
    });
  }

 private:
  const int64_t rows_, cols_;
  const FloatKind kind_;
  const ProductOptions options_;
  std::span<std::byte> weight_;  // in options_.memory
};

}  // namespace

std::unique_ptr<Product> make_dense_product(std::span<const std::byte> weight, Dtype dtype,
                                            int64_t rows, int64_t cols, const std::string& name,
                                            const ProductOptions& options) {
  assert(std::ssize(weight) == rows * cols * dtype_bytes(dtype));
  return std::make_unique<DenseProduct>(weight, float_kind(dtype, name), rows, cols, options);
}

}  // namespace bitmill

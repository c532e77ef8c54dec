#include "infer/reference_product.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

class ReferenceProduct final : public Product {
 public:
  explicit ReferenceProduct(at::Tensor weight) : weight_(std::move(weight)) {}

  int64_t rows() const override { return weight_.size(0); }
  int64_t cols() const override { return weight_.size(1); }
  int64_t resident_bytes() const override { return static_cast<int64_t>(weight_.nbytes()); }
  int64_t weight_bytes() const override { return resident_bytes(); }

  void multiply(std::span<const float> x, int64_t tokens, std::span<float> y,
                ThreadPool& pool) const override {
    // from_blob() takes no const memory; the input is only read.
    const at::Tensor in = at::from_blob(const_cast<float*>(x.data()), {tokens, cols()});
    const at::Tensor out = at::from_blob(y.data(), {tokens, rows()});
    parallel_pieces(pool, rows(), vocab_per_tile, [&](int64_t first, int64_t count) {
      const at::NoGradGuard no_grad;
      at::Tensor part = out.narrow(1, first, count);
      at::mm_out(part, in, weight_.narrow(0, first, count).t());
    });
  }

 private:
  const at::Tensor weight_;  // [rows, cols]
};

}  // namespace

std::unique_ptr<Product> make_reference_product(const at::Tensor& weight) {
  return std::make_unique<ReferenceProduct>(weight);
}

}  // namespace bitmill

#pragma once
// A frozen linear with random contents, and learned values for it.

#include <ATen/ATen.h>

#include <cstdint>

#include "backend/backend.hpp"

namespace bitmill::test {

struct Case {
  int64_t tokens, rows, low, salient;
};

inline FrozenLinear random_frozen(const Case& shape, uint64_t seed) {
  at::manual_seed(seed);
  const int64_t cols = shape.low + shape.salient;
  const at::Tensor order = at::randperm(cols, at::kLong);
  return {shape.rows,
          cols,
          std::get<0>(at::sort(order.narrow(0, 0, shape.low))),
          std::get<0>(at::sort(order.narrow(0, shape.low, shape.salient))),
          (at::randint(0, 2, {shape.rows, shape.low}) * 2 - 1).to(at::kChar),
          at::randn({shape.rows}) * 0.1,
          at::randint(0, 16, {shape.rows, shape.salient}).to(at::kByte),
          at::rand({shape.rows}) * 0.1 + 0.01,
          at::randint(0, 16, {shape.rows}).to(at::kFloat)};
}

inline LearnedLinear random_learned(const Case& shape) {
  return {{part::row_scale, at::rand({shape.rows}) + 0.5},
          {part::row_gain, at::rand({shape.rows}) + 0.5},
          {part::col_gain, at::rand({shape.low}) + 0.5}};
}

// y = x W^T with W built by hand in float64, column by column (METHOD.md, "The quantized weight").
inline at::Tensor expected_output(const FrozenLinear& frozen, const LearnedLinear& learned,
                                  const at::Tensor& x) {
  at::Tensor weight = at::zeros({frozen.rows, frozen.cols}, at::kDouble);
  const auto as_double = [](const at::Tensor& t) { return t.detach().to(at::kDouble); };
  for (int64_t j = 0; j < frozen.low_columns.size(0); ++j) {
    weight.select(1, frozen.low_columns[j].item<int64_t>())
        .copy_(as_double(learned[part::row_gain]) * as_double(learned[part::col_gain])[j] *
               (as_double(learned[part::row_scale]) * as_double(frozen.signs).select(1, j) +
                as_double(frozen.row_mean)));
  }
  for (int64_t j = 0; j < frozen.salient_columns.size(0); ++j) {
    weight.select(1, frozen.salient_columns[j].item<int64_t>())
        .copy_(as_double(frozen.code_scale) *
               (as_double(frozen.codes).select(1, j) - as_double(frozen.code_zero)));
  }
  return at::mm(as_double(x), weight.t());
}

}  // namespace bitmill::test

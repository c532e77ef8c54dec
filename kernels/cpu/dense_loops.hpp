#pragma once
// Products of row-major weights of 16 or 32 bits with tokens in float32, written once for all
// widths. The sum of a row has 16 partial sums, one for each column modulo 16, which are added in
// halves: 8 pairs, 4, 2, 1. Internal linkage, as lanes.hpp says.

#include "kernels/cpu/lanes.hpp"

namespace bitmill::kernels::cpu {
namespace {

constexpr int partial_sums = 16;

struct Float32Weights {
  using Stored = float;
  static FloatLanes load_lanes(const Stored* from) { return load<FloatLanes>(from); }
};
struct Float16Weights {
  using Stored = uint16_t;
  static FloatLanes load_lanes(const Stored* from) { return load_half(from); }
};
struct Bfloat16Weights {
  using Stored = uint16_t;
  static FloatLanes load_lanes(const Stored* from) { return load_bfloat(from); }
};

// Lane i of the result is lane i + Half of `lanes`, for the lanes below Half.
template <int Half>
FloatLanes moved_down(const FloatLanes& lanes) {
  constexpr auto at = [](int lane) { return (lane + Half) % lane_count; };
#if defined(__AVX512F__)
  return __builtin_shufflevector(lanes, lanes, at(0), at(1), at(2), at(3), at(4), at(5), at(6),
                                 at(7), at(8), at(9), at(10), at(11), at(12), at(13), at(14),
                                 at(15));
#elif defined(__AVX2__)
  return __builtin_shufflevector(lanes, lanes, at(0), at(1), at(2), at(3), at(4), at(5), at(6),
                                 at(7));
#else
  return __builtin_shufflevector(lanes, lanes, at(0), at(1), at(2), at(3));
#endif
}

constexpr int dense_parts = partial_sums / lane_count;

// Adds the 16 partial sums: the upper half to the lower, until one is left.
inline float halved_sum(const FloatLanes sums[dense_parts]) {
  FloatLanes sum = sums[0];
  if constexpr (dense_parts == 4) sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
  if constexpr (dense_parts == 2) sum = sums[0] + sums[1];
  if constexpr (lane_count >= 16) sum += moved_down<8>(sum);
  if constexpr (lane_count >= 8) sum += moved_down<4>(sum);
  sum += moved_down<2>(sum);
  sum += moved_down<1>(sum);
  return sum[0];
}

// Adds the columns from `whole` on, fewer than a step of `add`, with zeros behind them.
template <class Weights, int Rows, int Tokens, class Add>
[[gnu::always_inline]] inline void add_last_columns(const typename Weights::Stored* weight,
                                                    int64_t whole, int64_t cols, const float* x,
                                                    int64_t x_stride, const Add& add) {
  typename Weights::Stored last_weights[Rows][partial_sums] = {};
  float last_inputs[Tokens][partial_sums] = {};
  for (int64_t i = 0; i < cols - whole; ++i) {
    for (int row = 0; row < Rows; ++row) last_weights[row][i] = weight[row * cols + whole + i];
    for (int token = 0; token < Tokens; ++token) {
      last_inputs[token][i] = x[token * x_stride + whole + i];
    }
  }
  add(last_weights[0], partial_sums, last_inputs[0], partial_sums);
}

// `Rows` rows with `Tokens` tokens. Every weight that is widened serves all tokens.
template <class Weights, int Rows, int Tokens>
void dense_block(const typename Weights::Stored* weight, int64_t cols, const float* x,
                 int64_t x_stride, float* y, int64_t y_stride) {
  FloatLanes sums[Rows][Tokens][dense_parts];
  for (auto& of_row : sums) {
    for (auto& of_token : of_row) {
      for (auto& sum : of_token) sum = FloatLanes{};
    }
  }
  const auto add = [&](const typename Weights::Stored* from, int64_t from_stride,
                       const float* values, int64_t values_stride) {
    for (int part = 0; part < dense_parts; ++part) {
      FloatLanes inputs[Tokens];
      for (int token = 0; token < Tokens; ++token) {
        inputs[token] = load<FloatLanes>(values + token * values_stride + part * lane_count);
      }
      for (int row = 0; row < Rows; ++row) {
        const auto* const place = from + row * from_stride + part * lane_count;
        const FloatLanes weights = Weights::load_lanes(place);
        // One token is faster than what the processor fetches ahead by itself: the next rows.
        if constexpr (Tokens == 1) __builtin_prefetch(place + Rows * cols, 0, 2);
        for (int token = 0; token < Tokens; ++token) {
          sums[row][token][part] += weights * inputs[token];
        }
      }
    }
  };
  const int64_t whole = cols / partial_sums * partial_sums;
  for (int64_t col = 0; col < whole; col += partial_sums) {
    add(weight + col, cols, x + col, x_stride);
  }
  if (whole < cols) {
    add_last_columns<Weights, Rows, Tokens>(weight, whole, cols, x, x_stride, add);
  }
  for (int row = 0; row < Rows; ++row) {
    for (int token = 0; token < Tokens; ++token) {
      y[token * y_stride + row] = halved_sum(sums[row][token]);
    }
  }
}

// So many at once that their sums, rows * tokens * parts vectors, stay in half of the registers.
constexpr int dense_rows = lane_count == 16 ? 4 : 2;
constexpr int dense_tokens = lane_count == 16 ? 4 : (lane_count == 8 ? 2 : 1);

template <class Weights, int Rows>
void dense_rows_block(const typename Weights::Stored* weight, int64_t cols, const FloatInput& x,
                      const Output& y, int64_t row) {
  const auto* const from = weight + row * cols;
  int64_t token = 0;
  for (; token + dense_tokens <= x.tokens; token += dense_tokens) {
    dense_block<Weights, Rows, dense_tokens>(from, cols, x.values + token * x.stride, x.stride,
                                             y.values + token * y.stride + row, y.stride);
  }
  for (; token < x.tokens; ++token) {
    dense_block<Weights, Rows, 1>(from, cols, x.values + token * x.stride, x.stride,
                                  y.values + token * y.stride + row, y.stride);
  }
}

template <class Weights>
void dense_of(const DenseRows& rows, const FloatInput& x, const Output& y) {
  const auto* const weight = static_cast<const typename Weights::Stored*>(rows.values);
  int64_t row = 0;
  for (; row + dense_rows <= y.rows; row += dense_rows) {
    dense_rows_block<Weights, dense_rows>(weight, rows.cols, x, y, row);
  }
  for (; row < y.rows; ++row) dense_rows_block<Weights, 1>(weight, rows.cols, x, y, row);
}

inline void dense(const DenseRows& rows, const FloatInput& x, const Output& y) {
  switch (rows.kind) {
    case FloatKind::float32:
      return dense_of<Float32Weights>(rows, x, y);
    case FloatKind::float16:
      return dense_of<Float16Weights>(rows, x, y);
    case FloatKind::bfloat16:
      return dense_of<Bfloat16Weights>(rows, x, y);
  }
}

}  // namespace
}  // namespace bitmill::kernels::cpu

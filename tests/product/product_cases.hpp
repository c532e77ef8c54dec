#pragma once
// Packed linears of odd shapes, inputs for them, and products on one kernel or another.

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "base/thread_pool.hpp"
#include "format/packed_model.hpp"
#include "product/packed_product.hpp"

namespace bitmill::test {

struct ProductShape {
  int64_t rows, low, salient;
};

// Rows around a tile and a pair of tiles; columns around a word of signs (32), of codes (8), and
// around the 7 lines that the AVX2 kernel sums in 16 bits; no low, no salient, no columns; no rows.
inline std::vector<ProductShape> odd_product_shapes() {
  return {{1, 1, 0},       {1, 0, 1},     {15, 31, 7}, {16, 32, 8},  {17, 33, 9},
          {33, 224, 56},   {31, 225, 57}, {47, 0, 45}, {47, 64, 0},  {64, 97, 24},
          {113, 701, 131}, {5, 0, 0},     {0, 40, 10}, {80, 300, 61}};
}

inline std::vector<float> random_values(int64_t count, uint64_t seed) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(2 * random_unit(seed, RandomPurpose::test_data, i) - 1);
  }
  return values;
}

inline ProductOptions options_for(Activations activations, const std::string& kernel) {
  return {activations, &choose_cpu_kernel(kernel), std::make_shared<WeightMemory>()};
}

inline std::vector<float> multiplied(const Product& product, const std::vector<float>& x,
                                     int64_t tokens, int threads = 1) {
  ThreadPool pool(threads);
  // Not 0: what is not written to would be seen.
  std::vector<float> y(tokens * product.rows(), std::nanf(""));
  product.multiply(x, tokens, y, pool);
  return y;
}

// weight [rows, cols] times tokens of x, in float64.
inline std::vector<double> exact_product(const std::vector<float>& weight, int64_t rows,
                                         int64_t cols, const std::vector<float>& x,
                                         int64_t tokens) {
  std::vector<double> y(tokens * rows);
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t col = 0; col < cols; ++col) {
        y[token * rows + row] += double{weight[row * cols + col]} * double{x[token * cols + col]};
      }
    }
  }
  return y;
}

// sum over columns of |weight| |x|: what a rounding error is relative to.
inline double magnitude(const std::vector<float>& weight, int64_t row, int64_t cols,
                        const std::vector<float>& x, int64_t token) {
  double sum = 0;
  for (int64_t col = 0; col < cols; ++col) {
    sum += std::abs(double{weight[row * cols + col]} * double{x[token * cols + col]});
  }
  return sum;
}

}  // namespace bitmill::test

#pragma once
// A training step of one linear as kernels/STEP.md has it, with plain loops for the products, held
// against the weight that the linear stands for in float64: y, dx and the gradient of everything
// that is learned. On any kind of device.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/column_cases.hpp"
#include "kernels/combine.hpp"
#include "kernels/element_array.hpp"
#include "kernels/gather.hpp"
#include "kernels/operands_checks.hpp"
#include "kernels/row_gradients.hpp"
#include "kernels/scatter.hpp"
#include "kernels/split_gradient.hpp"

namespace bitmill {

struct LinearCase {
  kernels::Element element;
  int64_t tokens, rows;
  ColumnCase columns;
  SignsCase signs;  // from latents
  CodesCase codes;
  std::vector<float> x, gradient;  // of y
  std::vector<float> row_scale, row_gain, row_mean, col_gain, code_scale;
};

// In the order of `names`.
struct LinearResults {
  static constexpr const char* names[] = {"y",    "dx",  "d alpha", "d r1",
                                          "d mu", "d s", "d r2",    "d theta"};
  std::vector<std::vector<double>> all = std::vector<std::vector<double>>(8);
};

inline LinearCase make_linear_case(kernels::Element element, int64_t tokens, int64_t rows,
                                   int64_t cols) {
  ColumnCase columns = make_column_case(cols, SaliencyPattern::some);
  const int64_t low = columns.low(), salient = columns.salient();
  LinearCase made{element,
                  tokens,
                  rows,
                  std::move(columns),
                  make_signs_case(element, rows, low),
                  make_codes_case(element, rows, salient),
                  exact_numbers(tokens * cols, 21),
                  exact_numbers(tokens * rows, 22),
                  exact_numbers(rows, 23),
                  exact_numbers(rows, 24),
                  exact_numbers(rows, 25),
                  exact_numbers(low, 26),
                  exact_numbers(rows, 27)};
  for (auto* values : {&made.row_scale, &made.row_gain, &made.row_mean, &made.col_gain}) {
    for (float& value : *values) value = value / 7 + 0.9F;
  }
  for (float& value : made.code_scale) value = value / 100 + 0.1F;
  return made;
}

// alpha S + mu of a low weight, q - z of a salient one.
inline double low_weight(const LinearCase& problem, int64_t i, int64_t j) {
  const double sign = problem.signs.latents[i * problem.columns.low() + j] >= 0 ? 1 : -1;
  return problem.row_scale[i] * sign + problem.row_mean[i];
}
inline double code_step(const LinearCase& problem, int64_t i, int64_t c) {
  const auto code = static_cast<double>(problem.codes.codes[i * problem.columns.salient() + c]);
  return code - double{problem.codes.code_zero[i]};
}

inline LinearResults linear_reference(const LinearCase& problem) {
  const ColumnCase& columns = problem.columns;
  const int64_t tokens = problem.tokens, rows = problem.rows, cols = columns.cols;
  const int64_t low = columns.low(), salient = columns.salient();
  LinearResults out;
  std::vector<double> weight(rows * cols), of_weight(rows * cols);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < low; ++j) {
      weight[i * cols + columns.low_columns[j]] =
          double{problem.row_gain[i]} * problem.col_gain[j] * low_weight(problem, i, j);
    }
    for (int64_t c = 0; c < salient; ++c) {
      weight[i * cols + columns.salient_columns[c]] =
          problem.code_scale[i] * code_step(problem, i, c);
    }
  }
  out.all[0].assign(tokens * rows, 0);
  out.all[1].assign(tokens * cols, 0);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < rows; ++i) {
      const double g = problem.gradient[t * rows + i];
      for (int64_t c = 0; c < cols; ++c) {
        out.all[0][t * rows + i] += weight[i * cols + c] * problem.x[t * cols + c];
        out.all[1][t * cols + c] += g * weight[i * cols + c];
        of_weight[i * cols + c] += g * problem.x[t * cols + c];
      }
    }
  }
  for (int part = 2; part < 6; ++part) out.all[part].assign(rows, 0);
  out.all[6].assign(low, 0);
  out.all[7].assign(rows * low, 0);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < low; ++j) {
      const double d = of_weight[i * cols + columns.low_columns[j]], r2 = problem.col_gain[j];
      const double r1 = problem.row_gain[i], alpha = problem.row_scale[i];
      const double sign = problem.signs.latents[i * low + j] >= 0 ? 1 : -1;
      out.all[2][i] += d * r1 * r2 * sign;
      out.all[3][i] += d * r2 * low_weight(problem, i, j);
      out.all[4][i] += d * r1 * r2;
      out.all[6][j] += d * r1 * low_weight(problem, i, j);
      out.all[7][i * low + j] = d * r1 * r2 * alpha;
    }
    for (int64_t c = 0; c < salient; ++c) {
      out.all[5][i] += of_weight[i * cols + columns.salient_columns[c]] * code_step(problem, i, c);
    }
  }
  return out;
}

// a b' (`transposed`, b is [m, k]) or a b (b is [k, m]); a is [n, k].
inline std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b,
                                  int64_t n, int64_t k, int64_t m, bool transposed) {
  std::vector<float> out(n * m);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += double{a[i * k + l]} * (transposed ? b[j * k + l] : b[l * m + j]);
      }
      out[i * m + j] = static_cast<float>(sum);
    }
  }
  return out;
}

inline std::vector<double> widened(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

template <template <typename> class Array>
class LinearOnDevice {
 public:
  explicit LinearOnDevice(const LinearCase& problem)
      : problem_(problem),
        element_(problem.element),
        tokens_(problem.tokens),
        rows_(problem.rows),
        low_stride_(problem.signs.stride),
        salient_stride_(problem.codes.stride),
        mask_(problem.columns.mask),
        low_before_(problem.columns.low_before),
        col_gain_(problem.col_gain),
        row_scale_(problem.row_scale),
        row_gain_(problem.row_gain),
        row_mean_(problem.row_mean),
        code_scale_(problem.code_scale),
        row_factor_(times(problem.row_gain, problem.row_scale)),
        mean_factor_(times(problem.row_gain, problem.row_mean)),
        x_(element_, problem.x),
        signs_(signs_on_device<Array>(problem.signs, /*from_words=*/false)),
        codes_(codes_on_device<Array>(problem.codes)) {}

  LinearResults run() {
    forward();
    backward();
    return std::move(results_);
  }

 private:
  static std::vector<float> times(const std::vector<float>& a, const std::vector<float>& b) {
    std::vector<float> out(a.size());
    std::transform(a.begin(), a.end(), b.begin(), out.begin(), std::multiplies<>());
    return out;
  }
  static std::vector<float> none(int64_t count) { return std::vector<float>(count, NAN); }
  static void expect(kernels::cudaError_t error) { EXPECT_EQ(error, kernels::cudaSuccess); }
  kernels::ColumnSplit split() const {
    return {mask_.data(), low_before_.data(), problem_.columns.cols, problem_.columns.low()};
  }
  std::vector<float> summed(const Array<float>& table, int64_t tiles, int64_t columns) const {
    const Array<float> sum(none(columns));
    expect(kernels::add_tables({{{table.data(), sum.data(), tiles, columns}}, 1}, nullptr));
    return sum.to_host();
  }

  void forward() {
    const ElementArray<Array> low(element_, tokens_ * low_stride_),
        salient(element_, tokens_ * salient_stride_), y(element_, tokens_ * rows_);
    const int64_t tiles = kernels::column_tiles(problem_.columns.cols);
    const Array<float> low_sum(none(tiles * tokens_));
    expect(kernels::gather({x_.data(), split(), col_gain_.data(), low.data(), salient.data(),
                            low_sum.data(), tokens_, low_stride_, salient_stride_, element_},
                           nullptr));
    low_sum_ = summed(low_sum, tiles, tokens_);
    low_input_ = low.to_host();
    low_product_ = rounded_to(
        element_, product(low_input_, signs_, tokens_, low_stride_, rows_, /*transposed=*/true));
    salient_product_ = rounded_to(
        element_, product(salient.to_host(), codes_, tokens_, salient_stride_, rows_, true));
    const ElementArray<Array> u(element_, low_product_), w(element_, salient_product_);
    const Array<float> v(low_sum_);
    expect(kernels::combine({u.data(), w.data(), v.data(), row_factor_.data(), mean_factor_.data(),
                             code_scale_.data(), y.data(), tokens_, rows_, element_},
                            nullptr));
    results_.all[0] = widened(y.to_host());
  }

  void backward() {
    const ElementArray<Array> g(element_, problem_.gradient), u(element_, low_product_),
        w(element_, salient_product_), low(element_, tokens_ * rows_),
        salient(element_, tokens_ * rows_);
    const Array<float> v(low_sum_);
    const int64_t down = kernels::token_tiles(tokens_), across = kernels::row_tiles(rows_);
    const Array<float> mean(none(across * tokens_)), scale_sum(none(down * rows_)),
        mean_sum(none(down * rows_)), code_sum(none(down * rows_));
    expect(kernels::split_gradient(
        {g.data(), u.data(), w.data(), v.data(), row_factor_.data(), mean_factor_.data(),
         code_scale_.data(), low.data(), salient.data(), mean.data(), scale_sum.data(),
         mean_sum.data(), code_sum.data(), tokens_, rows_, element_},
        nullptr));
    const Array<float> of_scale(none(rows_)), of_gain(none(rows_)), of_mean(none(rows_)),
        of_code(none(rows_));
    expect(kernels::row_gradients(
        {scale_sum.data(), mean_sum.data(), code_sum.data(), row_scale_.data(), row_gain_.data(),
         row_mean_.data(), of_scale.data(), of_gain.data(), of_mean.data(), of_code.data(), down,
         rows_},
        nullptr));
    for (int part = 0; const Array<float>* array : {&of_scale, &of_gain, &of_mean, &of_code}) {
      results_.all[2 + part++] = widened(array->to_host());
    }
    to_input(low.to_host(), salient.to_host(), summed(mean, across, tokens_));
  }

  void to_input(const std::vector<float>& low_gradient, const std::vector<float>& salient_gradient,
                const std::vector<float>& mean) {
    const ElementArray<Array> low(
        element_, product(low_gradient, signs_, tokens_, rows_, low_stride_, /*transposed=*/false)),
        salient(element_,
                product(salient_gradient, codes_, tokens_, rows_, salient_stride_, false)),
        of_x(element_, tokens_ * problem_.columns.cols);
    const int64_t columns = problem_.columns.low(), down = kernels::token_tiles(tokens_);
    const Array<float> mean_there(mean), gain_sum(none(down * columns));
    expect(kernels::scatter(
        {x_.data(), split(), col_gain_.data(), low.data(), salient.data(), mean_there.data(),
         of_x.data(), gain_sum.data(), tokens_, low_stride_, salient_stride_, element_},
        nullptr));
    results_.all[1] = widened(of_x.to_host());
    results_.all[6] = widened(summed(gain_sum, down, columns));
    for (int64_t i = 0; i < rows_; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0;
        for (int64_t t = 0; t < tokens_; ++t) {
          sum += double{low_gradient[t * rows_ + i]} * low_input_[t * low_stride_ + j];
        }
        results_.all[7].push_back(sum);
      }
    }
  }

  const LinearCase& problem_;
  const kernels::Element element_;
  const int64_t tokens_, rows_, low_stride_, salient_stride_;
  const Array<uint32_t> mask_;
  const Array<int32_t> low_before_;
  const Array<float> col_gain_, row_scale_, row_gain_, row_mean_, code_scale_, row_factor_,
      mean_factor_;
  const ElementArray<Array> x_;
  const std::vector<float> signs_, codes_;  // operands
  std::vector<float> low_input_, low_sum_, low_product_, salient_product_;
  LinearResults results_;
};

template <template <typename> class Array>
void check_linear_step(const LinearCase& problem) {
  const LinearResults got = LinearOnDevice<Array>(problem).run();
  const LinearResults want = linear_reference(problem);
  const double relative = problem.element == kernels::Element::bfloat16 ? 0.02 : 1e-5;
  for (size_t part = 0; part < want.all.size(); ++part) {
    double largest = 0, distance = 0;
    ASSERT_EQ(got.all[part].size(), want.all[part].size()) << LinearResults::names[part];
    for (size_t i = 0; i < want.all[part].size(); ++i) {
      largest = std::max(largest, std::abs(want.all[part][i]));
      const double off = std::abs(got.all[part][i] - want.all[part][i]);
      distance = off <= distance ? distance : off;  // NaN stays
    }
    EXPECT_LE(distance, largest * relative)
        << LinearResults::names[part] << " of " << problem.rows << " x " << problem.columns.cols
        << ", " << problem.tokens << " tokens";
  }
}

// Several tiles of tokens, of rows and of columns; odd ones.
template <template <typename> class Array>
void check_linear_steps() {
  using enum kernels::Element;
  for (const kernels::Element element : {float32, bfloat16}) {
    check_linear_step<Array>(make_linear_case(element, 1, 1, 10));
    check_linear_step<Array>(make_linear_case(element, 70, 36, 97));
    check_linear_step<Array>(make_linear_case(element, 9, 516, 60));
    check_linear_step<Array>(make_linear_case(element, 9, 33, 1100));
  }
}

}  // namespace bitmill

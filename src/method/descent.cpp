#include "method/descent.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Later passes would change little (METHOD.md, "Coordinate descent").
constexpr int passes = 3;
constexpr double damping = 0.01;

// Rows of one task. All of them use a row of Sigma while it is in the nearest cache.
constexpr int64_t rows_per_task = 16;

// When the determinant divided by its largest possible value is below this, alpha and mu have
// nearly the same effect and cannot be told apart.
constexpr double smallest_determinant = 1e-6;

// What is the same for all rows of a linear.
struct Problem {
  const at::Tensor weight;
  const at::Tensor sigma;      // [cols, cols], damped
  const at::Tensor low_sigma;  // [cols]: b Sigma, b = 1 at low columns and 0 elsewhere
  double low_total = 0;        // b Sigma b
  const std::vector<bool> is_low;
  InitialLinear& linear;

  Problem(const at::Tensor& w, std::span<const float> moments, InitialLinear& initial)
      : weight(w),
        sigma(damped(moments, w.size(1))),
        low_sigma(sigma.index_select(0, initial.frozen.low_columns).sum(0)),
        low_total(low_sigma.index_select(0, initial.frozen.low_columns)
                      .to(at::kDouble)
                      .sum()
                      .item<double>()),
        is_low(low_mask(initial.frozen)),
        linear(initial) {}

  static at::Tensor damped(std::span<const float> moments, int64_t cols) {
    at::Tensor sigma = at::empty({cols, cols});
    std::copy(moments.begin(), moments.end(), sigma.data_ptr<float>());
    at::Tensor diagonal = sigma.diagonal();
    diagonal += damping * diagonal.to(at::kDouble).mean().item<double>();
    return sigma;
  }

  static std::vector<bool> low_mask(const FrozenLinear& frozen) {
    std::vector<bool> mask(static_cast<size_t>(frozen.cols), false);
    const int64_t* low = frozen.low_columns.data_ptr<int64_t>();
    for (int64_t j = 0; j < frozen.low_columns.size(0); ++j) mask[low[j]] = true;
    return mask;
  }
};

// One row: pointers into its tile's tables, [cols] each.
struct Row {
  float* approximation;  // W^
  float* residual;       // E Sigma
  float* sign;           // S at low columns, 0 elsewhere: a
  float* sign_sigma;     // a Sigma
  float alpha, mu;
  CodeGrid grid;
};

// y += factor * x
void add_scaled(float factor, const float* x, int64_t count, float* y) {
  for (int64_t k = 0; k < count; ++k) y[k] += factor * x[k];
}

// Sets column j to its best value; everything else stays fixed.
void visit(const Problem& problem, int64_t j, Row& row) {
  const int64_t cols = problem.weight.size(1);
  const float* sigma = problem.sigma.data_ptr<float>() + j * cols;
  if (sigma[j] <= 0) return;  // an input that is always 0
  const float best = row.approximation[j] + row.residual[j] / sigma[j];
  float value = 0, sign = 0;
  if (problem.is_low[static_cast<size_t>(j)]) {
    sign = best >= row.mu ? 1.0F : -1.0F;
    value = row.alpha * sign + row.mu;
  } else {
    value = row.grid.scale * (static_cast<float>(encode(best, row.grid)) - row.grid.zero);
  }
  if (sign != row.sign[j]) {
    add_scaled(sign - row.sign[j], sigma, cols, row.sign_sigma);
    row.sign[j] = sign;
  }
  if (value == row.approximation[j]) return;
  add_scaled(row.approximation[j] - value, sigma, cols, row.residual);
  row.approximation[j] = value;
}

// Sets alpha and mu to those of the least error for the current signs:
//   [a Sigma a, a Sigma b; a Sigma b, b Sigma b] [d alpha; d mu] = [E Sigma a; E Sigma b].
void solve_scales(const Problem& problem, Row& row) {
  const int64_t cols = problem.weight.size(1);
  double aa = 0, ab = 0, ra = 0, rb = 0;
  for (int64_t j = 0; j < cols; ++j) {
    if (!problem.is_low[static_cast<size_t>(j)]) continue;
    aa += double{row.sign[j]} * double{row.sign_sigma[j]};
    ab += double{row.sign_sigma[j]};
    ra += double{row.sign[j]} * double{row.residual[j]};
    rb += double{row.residual[j]};
  }
  const double bb = problem.low_total, determinant = aa * bb - ab * ab;
  if (!(determinant > smallest_determinant * aa * bb)) return;
  const auto alpha = static_cast<float>(double{row.alpha} + (ra * bb - rb * ab) / determinant);
  const auto mu = static_cast<float>(double{row.mu} + (rb * aa - ra * ab) / determinant);
  if (alpha < 0) return;  // every sign would get the opposite meaning
  add_scaled(row.alpha - alpha, row.sign_sigma, cols, row.residual);
  add_scaled(row.mu - mu, problem.low_sigma.data_ptr<float>(), cols, row.residual);
  row.alpha = alpha;
  row.mu = mu;
  for (int64_t j = 0; j < cols; ++j) {
    if (problem.is_low[static_cast<size_t>(j)]) row.approximation[j] = alpha * row.sign[j] + mu;
  }
}

// The row as `linear` has it.
void read_row(const InitialLinear& linear, int64_t i, Row& row) {
  const FrozenLinear& frozen = linear.frozen;
  row.alpha = linear.row_scale.data_ptr<float>()[i];
  row.mu = frozen.row_mean.data_ptr<float>()[i];
  row.grid = {frozen.code_scale.data_ptr<float>()[i], frozen.code_zero.data_ptr<float>()[i]};
  const int64_t low = frozen.low_columns.size(0), salient = frozen.salient_columns.size(0);
  for (int64_t j = 0; j < low; ++j) {
    const int64_t column = frozen.low_columns.data_ptr<int64_t>()[j];
    const bool positive = linear.latents.defined()
                              ? linear.latents.data_ptr<float>()[i * low + j] >= 0
                              : frozen.signs.data_ptr<int8_t>()[i * low + j] >= 0;
    row.sign[column] = positive ? 1.0F : -1.0F;
    row.approximation[column] = row.alpha * row.sign[column] + row.mu;
  }
  for (int64_t j = 0; j < salient; ++j) {
    const uint8_t code = frozen.codes.data_ptr<uint8_t>()[i * salient + j];
    row.approximation[frozen.salient_columns.data_ptr<int64_t>()[j]] =
        row.grid.scale * (static_cast<float>(code) - row.grid.zero);
  }
}

void write_row(const Row& row, int64_t i, InitialLinear& linear) {
  const FrozenLinear& frozen = linear.frozen;
  linear.row_scale.data_ptr<float>()[i] = row.alpha;
  frozen.row_mean.data_ptr<float>()[i] = row.mu;
  const int64_t low = frozen.low_columns.size(0), salient = frozen.salient_columns.size(0);
  for (int64_t j = 0; j < low; ++j) {
    const float sign = row.sign[frozen.low_columns.data_ptr<int64_t>()[j]];
    if (linear.latents.defined()) {
      float& latent = linear.latents.data_ptr<float>()[i * low + j];
      if ((latent >= 0) != (sign > 0)) latent = first_latent_of_changed_sign * sign;
    } else {
      frozen.signs.data_ptr<int8_t>()[i * low + j] = sign > 0 ? 1 : -1;
    }
  }
  for (int64_t j = 0; j < salient; ++j) {
    const int64_t column = frozen.salient_columns.data_ptr<int64_t>()[j];
    frozen.codes.data_ptr<uint8_t>()[i * salient + j] = encode(row.approximation[column], row.grid);
  }
}

void descend_rows(const Problem& problem, int64_t first, int64_t count) {
  const int64_t cols = problem.weight.size(1);
  const at::Tensor approximation = at::zeros({count, cols}), sign = at::zeros({count, cols});
  std::vector<Row> rows;
  for (int64_t i = 0; i < count; ++i) {
    rows.push_back({approximation.data_ptr<float>() + i * cols,
                    nullptr,
                    sign.data_ptr<float>() + i * cols,
                    nullptr,
                    0,
                    0,
                    {}});
    read_row(problem.linear, first + i, rows.back());
  }
  const at::Tensor residual =
      at::mm(problem.weight.narrow(0, first, count) - approximation, problem.sigma);
  const at::Tensor sign_sigma = at::mm(sign, problem.sigma);
  for (int64_t i = 0; i < count; ++i) {
    rows[i].residual = residual.data_ptr<float>() + i * cols;
    rows[i].sign_sigma = sign_sigma.data_ptr<float>() + i * cols;
  }
  for (int pass = 0; pass < passes; ++pass) {
    for (int64_t j = 0; j < cols; ++j) {
      for (Row& row : rows) visit(problem, j, row);
    }
    for (Row& row : rows) solve_scales(problem, row);
  }
  for (int64_t i = 0; i < count; ++i) write_row(rows[i], first + i, problem.linear);
}

}  // namespace

void descend(const at::Tensor& weight, std::span<const float> second_moments, InitialLinear& linear,
             ThreadPool& pool) {
  const at::NoGradGuard no_grad;
  const Problem problem(weight, second_moments, linear);
  const int64_t rows = weight.size(0);
  parallel_pieces(pool, rows, rows_per_task, [&](int64_t first, int64_t count) {
    const at::NoGradGuard no_grad_here;
    descend_rows(problem, first, count);
  });
}

}  // namespace bitmill

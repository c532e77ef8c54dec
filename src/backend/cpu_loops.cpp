#include "backend/cpu_loops.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "backend/learned_parts.hpp"

namespace bitmill::cpu_loops {
namespace {

// A sum along memory in 16 lanes, which a tree adds up at the end. This is one fixed order, and the
// compiler can use vector registers for it without changing the order.
class LaneSum {
 public:
  template <class Term>
  static float over(int64_t count, Term term) {
    std::array<float, lanes> sums = {};
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      for (int64_t lane = 0; lane < lanes; ++lane) sums[lane] += term(i + lane);
    }
    for (int64_t lane = 0; i < count; ++i, ++lane) sums[lane] += term(i);
    for (int64_t half = lanes / 2; half > 0; half /= 2) {
      for (int64_t lane = 0; lane < half; ++lane) sums[lane] += sums[lane + half];
    }
    return sums[0];
  }

 private:
  static constexpr int64_t lanes = 16;
};

// x^ of one token.
void gather_low_of(const GatherInput& in, int64_t token, int64_t stride, float* low) {
  const float* x = in.x + token * in.cols;
  for (int64_t j = 0; j < in.low; ++j) low[j] = x[in.low_columns[j]] * in.col_gain[j];
  std::fill(low + in.low, low + stride, 0.0F);
}

}  // namespace

void gather_low(const GatherInput& in, int64_t stride, float* low) {
  for (int64_t t = 0; t < in.tokens; ++t) gather_low_of(in, t, stride, low + t * stride);
}

void gather(const GatherInput& in, const GatherOutput& out) {
  for (int64_t t = 0; t < in.tokens; ++t) {
    const float* x = in.x + t * in.cols;
    float* low = out.low + t * out.low_stride;
    gather_low_of(in, t, out.low_stride, low);
    out.low_sum[t] = LaneSum::over(in.low, [&](int64_t j) { return low[j]; });
    float* salient = out.salient + t * out.salient_stride;
    for (int64_t j = 0; j < in.salient; ++j) salient[j] = x[in.salient_columns[j]];
    std::fill(salient + in.salient, salient + out.salient_stride, 0.0F);
  }
}

void combine(const CombineInput& in, float* y) {
  for (int64_t t = 0; t < in.tokens; ++t) {
    const float* u = in.low_product + t * in.rows;
    const float v = in.low_sum[t];
    float* out = y + t * in.rows;
    for (int64_t i = 0; i < in.rows; ++i) {
      out[i] = (in.row_factor[i] * u[i] + in.mean_factor[i] * v) + out[i];
    }
  }
}

void split_gradient(const CombineInput& in, const float* gradient, const SplitOutput& out) {
  std::fill(out.scale_sum, out.scale_sum + in.rows, 0.0F);
  std::fill(out.mean_sum, out.mean_sum + in.rows, 0.0F);
  for (int64_t t = 0; t < in.tokens; ++t) {
    const float* g = gradient + t * in.rows;
    const float* u = in.low_product + t * in.rows;
    const float v = in.low_sum[t];
    float* low = out.low_gradient + t * in.rows;
    for (int64_t i = 0; i < in.rows; ++i) {
      low[i] = in.row_factor[i] * g[i];
      out.scale_sum[i] += g[i] * u[i];
      out.mean_sum[i] += g[i] * v;
    }
    out.mean_gradient[t] =
        LaneSum::over(in.rows, [&](int64_t i) { return in.mean_factor[i] * g[i]; });
  }
}

void scatter(const GatherInput& input, const ScatterInput& in, float* col_gain_sum,
             float* x_gradient) {
  std::fill(col_gain_sum, col_gain_sum + input.low, 0.0F);
  for (int64_t t = 0; t < input.tokens; ++t) {
    const float* x = input.x + t * input.cols;
    const float* product = in.low_product + t * in.low_stride;
    const float mean = in.mean_gradient[t];
    for (int64_t j = 0; j < input.low; ++j) {
      col_gain_sum[j] += x[input.low_columns[j]] * (product[j] + mean);
    }
    if (x_gradient == nullptr) continue;
    float* dx = x_gradient + t * input.cols;
    for (int64_t j = 0; j < input.low; ++j) {
      dx[input.low_columns[j]] = input.col_gain[j] * (product[j] + mean);
    }
    const float* salient = in.salient_product + t * in.salient_stride;
    for (int64_t j = 0; j < input.salient; ++j) dx[input.salient_columns[j]] = salient[j];
  }
}

void scale_rows(const float* values, const float* factor, int64_t tokens, int64_t rows,
                float* out) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < rows; ++i) out[t * rows + i] = values[t * rows + i] * factor[i];
  }
}

void dot_over_tokens(const float* a, const float* b, int64_t tokens, int64_t rows, float* sum) {
  std::fill(sum, sum + rows, 0.0F);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < rows; ++i) sum[i] += a[t * rows + i] * b[t * rows + i];
  }
}

void take_signs(const float* latents, int64_t rows, int64_t low, int64_t stride, float* signs) {
  for (int64_t i = 0; i < rows; ++i) {
    const float* from = latents + i * low;
    float* to = signs + i * stride;
    for (int64_t j = 0; j < low; ++j) to[j] = from[j] >= 0 ? 1.0F : -1.0F;
    std::fill(to + low, to + stride, 0.0F);
  }
}

void clip_to_window(const float* latents, int64_t count, float* gradient) {
  for (int64_t i = 0; i < count; ++i) {
    gradient[i] = std::abs(latents[i]) < straight_through_window ? gradient[i] : 0.0F;
  }
}

}  // namespace bitmill::cpu_loops

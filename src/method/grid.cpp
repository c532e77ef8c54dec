#include "method/grid.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "method/device_grid.hpp"

namespace bitmill {
namespace {

at::Tensor index_tensor(const std::vector<int64_t>& values) {
  at::Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), out.data_ptr<int64_t>());
  return out;
}

std::vector<int64_t> other_columns(const std::vector<int64_t>& chosen, int64_t cols) {
  std::vector<int64_t> others;
  for (int64_t column = 0, next = 0; column < cols; ++column) {
    if (next < static_cast<int64_t>(chosen.size()) && chosen[next] == column) {
      ++next;
    } else {
      others.push_back(column);
    }
  }
  return others;
}

std::vector<float> pick(const float* row, const std::vector<int64_t>& columns) {
  std::vector<float> values;
  values.reserve(columns.size());
  for (const int64_t column : columns) values.push_back(row[column]);
  return values;
}

// What is the same for all rows of a linear.
struct RowContext {
  const MethodSettings& settings;
  const std::vector<int64_t>& low;
  const std::vector<int64_t>& salient;
  const std::vector<float> importance;  // of salient columns; empty unless the range is clipped
};

CodeGrid grid_of(const RowContext& context, std::span<const float> row,
                 std::span<const float> salient_values) {
  const std::span<const float> range =
      context.settings.int4_range == Int4Range::row ? row : salient_values;
  if (range.empty()) return make_code_grid(0, 0);
  const auto [least, greatest] = std::minmax_element(range.begin(), range.end());
  return context.settings.int4_clip
             ? make_clipped_grid(*least, *greatest, salient_values, context.importance)
             : make_code_grid(*least, *greatest);
}

void fill_codes(const RowContext& context, std::span<const float> row, int64_t i,
                FrozenLinear& frozen) {
  const std::vector<float> values = pick(row.data(), context.salient);
  const CodeGrid grid = grid_of(context, row, values);
  frozen.code_scale.data_ptr<float>()[i] = grid.scale;
  frozen.code_zero.data_ptr<float>()[i] = grid.zero;
  uint8_t* codes = frozen.codes.data_ptr<uint8_t>() + i * frozen.codes.size(1);
  for (size_t j = 0; j < values.size(); ++j) codes[j] = encode(values[j], grid);
}

void fill_signs(const RowContext& context, std::span<const float> row, int64_t i,
                InitialLinear& out) {
  const std::vector<float> values = pick(row.data(), context.low);
  const RowMoments moments = row_moments(values);
  const float mean = moments.mean, deviation = moments.mean_deviation;
  const bool learned = context.settings.learned.signs;
  const auto first = static_cast<int64_t>(values.size()) * i;
  float alpha = context.settings.center ? deviation : moments.mean_abs;
  if (learned && deviation == 0) alpha = 0;
  out.frozen.row_mean.data_ptr<float>()[i] = mean;
  out.row_scale.data_ptr<float>()[i] = alpha;
  if (learned) {
    float* latents = out.latents.data_ptr<float>() + first;
    for (size_t j = 0; j < values.size(); ++j) {
      const float theta = deviation == 0 ? 0.0F : (values[j] - mean) / deviation;
      latents[j] = std::clamp(theta, -largest_first_latent, largest_first_latent);
    }
  } else {
    int8_t* signs = out.frozen.signs.data_ptr<int8_t>() + first;
    for (size_t j = 0; j < values.size(); ++j) signs[j] = values[j] - mean >= 0 ? 1 : -1;
  }
}

// Tensors of `from` may be undefined.
LearnedTensors declare(int64_t rows, int64_t low, const MethodSettings& settings,
                       const InitialLinear& from) {
  LearnedTensors all;
  const auto add = [&](std::string_view name, std::vector<int64_t> shape, double rate,
                       const at::Tensor& first, bool large = false) {
    all.push_back({std::string(name), std::move(shape), rate, large, first});
  };
  add(part::row_scale, {rows}, settings.lr_scale, from.row_scale);
  add(part::row_gain, {rows}, settings.lr_gain, {});
  add(part::col_gain, {low}, settings.lr_gain, {});
  if (settings.learned.row_means) {
    add(part::row_mean, {rows}, settings.lr_mean, from.frozen.row_mean);
  }
  if (settings.learned.code_scales) {
    add(part::code_scale, {rows}, settings.lr_code_scale, from.frozen.code_scale);
  }
  if (settings.learned.signs) {
    add(part::latents, {rows, low}, settings.lr_sign, from.latents, /*large=*/true);
    all.back().window = straight_through_window;
  }
  return all;
}

}  // namespace

std::vector<int64_t> salient_columns(std::span<const float> saliency, const ExactRatio& ratio) {
  const auto cols = static_cast<int64_t>(saliency.size());
  std::vector<int64_t> order(saliency.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return saliency[a] > saliency[b]; });
  order.resize(static_cast<size_t>(ratio.salient_of(cols)));
  std::sort(order.begin(), order.end());
  return order;
}

uint8_t encode(float value, const CodeGrid& grid) {
  return static_cast<uint8_t>(code_of(value, grid));
}

CodeGrid make_clipped_grid(float least, float greatest, std::span<const float> values,
                           std::span<const float> importance) {
  CodeGrid best;
  double least_error = std::numeric_limits<double>::infinity();
  for (int i = 0; i < clip_factors; ++i) {
    const CodeGrid grid = make_code_grid(least * clip_factor(i), greatest * clip_factor(i));
    double error = 0;
    for (size_t j = 0; j < values.size(); ++j) {
      error += clip_error(values[j], importance[j], grid);
    }
    if (error >= least_error) continue;
    least_error = error;
    best = grid;
  }
  return best;
}

RowMoments row_moments(std::span<const float> values) {
  double sum = 0, sum_abs = 0;
  int64_t count = 0;
  for (const float value : values) {
    if (value == 0) continue;
    sum += value;
    sum_abs += std::abs(value);
    ++count;
  }
  if (count == 0) return {};
  const auto divisor = static_cast<double>(count);
  const auto mean = static_cast<float>(sum / divisor);
  double deviation = 0;
  for (const float value : values) {
    if (value != 0) deviation += std::abs(double{value} - double{mean});
  }
  return {mean, static_cast<float>(sum_abs / divisor), static_cast<float>(deviation / divisor)};
}

InitialLinear quantize_linear(const at::Tensor& weight, std::span<const float> saliency,
                              const MethodSettings& settings, ThreadPool& pool,
                              std::span<const float> mean_square) {
  const int64_t rows = weight.size(0), cols = weight.size(1);
  const std::vector<int64_t> salient = salient_columns(saliency, settings.salient_ratio);
  const std::vector<int64_t> low = other_columns(salient, cols);
  if (weight.is_cuda()) {
    return quantize_on_gpu(weight, {index_tensor(low), index_tensor(salient)}, settings,
                           mean_square);
  }
  const auto salient_count = static_cast<int64_t>(salient.size());
  const auto low_count = static_cast<int64_t>(low.size());
  const RowContext context{
      settings, low, salient,
      settings.int4_clip ? pick(mean_square.data(), salient) : std::vector<float>()};

  InitialLinear out{
      {rows, cols, index_tensor(low), index_tensor(salient), at::Tensor(), at::empty({rows}),
       at::empty({rows, salient_count}, at::kByte), at::empty({rows}), at::empty({rows})},
      at::empty({rows}),
      at::Tensor()};
  if (settings.learned.signs) {
    out.latents = at::empty({rows, low_count});
  } else {
    out.frozen.signs = at::empty({rows, low_count}, at::kChar);
  }
  const float* source = weight.data_ptr<float>();
  pool.parallel_for(rows, [&](int64_t i) {
    const std::span row(source + i * cols, static_cast<size_t>(cols));
    fill_codes(context, row, i, out.frozen);
    fill_signs(context, row, i, out);
  });
  return out;
}

LearnedTensors learned_of(const InitialLinear& linear, const MethodSettings& settings) {
  return declare(linear.frozen.rows, linear.frozen.low_columns.size(0), settings, linear);
}

LearnedTensors learned_of(int64_t rows, int64_t low, const MethodSettings& settings) {
  return declare(rows, low, settings, {});
}

}  // namespace bitmill

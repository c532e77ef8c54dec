#include "method/grid.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bitmill {
namespace {

constexpr float largest_code = 15.0F;

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

CodeGrid grid_of(std::span<const float> values) {
  const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
  return values.empty() ? make_code_grid(0, 0) : make_code_grid(*least, *greatest);
}

}  // namespace

std::vector<int64_t> salient_columns(std::span<const float> saliency, const ExactRatio& ratio) {
  const auto cols = static_cast<int64_t>(saliency.size());
  std::vector<int64_t> order(saliency.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return saliency[a] > saliency[b]; });
  order.resize(static_cast<size_t>(std::min(cols, ratio.floor_times(cols) + 1)));
  std::sort(order.begin(), order.end());
  return order;
}

CodeGrid make_code_grid(float least, float greatest) {
  float low = std::min(0.0F, least), high = std::max(0.0F, greatest);
  if (low == 0 && high == 0) {
    low = -1;
    high = 1;
  }
  const float scale = (high - low) / largest_code;
  return {scale, std::nearbyint(-low / scale)};
}

uint8_t encode(float value, const CodeGrid& grid) {
  const float code = std::nearbyint(value / grid.scale) + grid.zero;
  return static_cast<uint8_t>(std::clamp(code, 0.0F, largest_code));
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
  return {static_cast<float>(sum / divisor), static_cast<float>(sum_abs / divisor)};
}

InitialLinear quantize_linear(const at::Tensor& weight, std::span<const float> saliency,
                              const MethodSettings& settings, ThreadPool& pool) {
  const int64_t rows = weight.size(0), cols = weight.size(1);
  const std::vector<int64_t> salient = salient_columns(saliency, settings.salient_ratio);
  const std::vector<int64_t> low = other_columns(salient, cols);
  const auto salient_count = static_cast<int64_t>(salient.size());
  const auto low_count = static_cast<int64_t>(low.size());

  InitialLinear out{
      {rows, cols, index_tensor(low), index_tensor(salient),
       at::empty({rows, low_count}, at::kChar), at::empty({rows}),
       at::empty({rows, salient_count}, at::kByte), at::empty({rows}), at::empty({rows})},
      at::empty({rows})};
  const float* source = weight.data_ptr<float>();
  int8_t* signs = out.frozen.signs.data_ptr<int8_t>();
  uint8_t* codes = out.frozen.codes.data_ptr<uint8_t>();
  pool.parallel_for(rows, [&](int64_t i) {
    const float* row = source + i * cols;
    const std::vector<float> low_values = pick(row, low), salient_values = pick(row, salient);

    const CodeGrid grid = settings.int4_range == Int4Range::row
                              ? grid_of(std::span(row, static_cast<size_t>(cols)))
                              : grid_of(salient_values);
    out.frozen.code_scale.data_ptr<float>()[i] = grid.scale;
    out.frozen.code_zero.data_ptr<float>()[i] = grid.zero;
    for (int64_t j = 0; j < salient_count; ++j) {
      codes[i * salient_count + j] = encode(salient_values[j], grid);
    }

    const RowMoments moments = row_moments(low_values);
    out.frozen.row_mean.data_ptr<float>()[i] = moments.mean;
    out.row_scale.data_ptr<float>()[i] = moments.mean_abs;
    for (int64_t j = 0; j < low_count; ++j) {
      signs[i * low_count + j] = low_values[j] - moments.mean >= 0 ? 1 : -1;
    }
  });
  return out;
}

}  // namespace bitmill

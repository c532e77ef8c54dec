#include "method/learned.hpp"

#include <ATen/ops/from_blob.h>

#include <algorithm>

namespace bitmill {
namespace {

// Every tensor begins on a cache line.
constexpr int64_t floats_per_line = 16;

}  // namespace

LearnedLayout::LearnedLayout(std::span<const InitialLinear> linears,
                             const MethodSettings& settings) {
  const auto add = [&](int linear, LearnedKind kind, int64_t size, double rate) {
    segments_.push_back({linear, kind, size_, size, rate});
    size_ += (size + floats_per_line - 1) / floats_per_line * floats_per_line;
  };
  for (int linear = 0; linear < static_cast<int>(linears.size()); ++linear) {
    const FrozenLinear& frozen = linears[linear].frozen;
    add(linear, LearnedKind::row_scale, frozen.rows, settings.lr_scale);
    add(linear, LearnedKind::row_gain, frozen.rows, settings.lr_gain);
    add(linear, LearnedKind::col_gain, frozen.low_columns.size(0), settings.lr_gain);
  }
}

std::vector<float> LearnedLayout::initial_values(std::span<const InitialLinear> linears) const {
  std::vector<float> flat(static_cast<size_t>(size_), 0.0F);
  for (const LearnedSegment& segment : segments_) {
    float* values = flat.data() + segment.offset;
    if (segment.kind == LearnedKind::row_scale) {
      std::copy_n(linears[segment.linear].row_scale.data_ptr<float>(), segment.size, values);
    } else {
      std::fill_n(values, segment.size, 1.0F);
    }
  }
  return flat;
}

std::vector<LearnedScales> LearnedLayout::views(std::span<float> flat) const {
  std::vector<LearnedScales> out;
  for (const LearnedSegment& segment : segments_) {
    out.resize(std::max(out.size(), static_cast<size_t>(segment.linear) + 1));
    const at::Tensor view = at::from_blob(flat.data() + segment.offset, {segment.size});
    LearnedScales& scales = out[segment.linear];
    switch (segment.kind) {
      case LearnedKind::row_scale:
        scales.row_scale = view;
        break;
      case LearnedKind::row_gain:
        scales.row_gain = view;
        break;
      case LearnedKind::col_gain:
        scales.col_gain = view;
        break;
    }
  }
  return out;
}

}  // namespace bitmill

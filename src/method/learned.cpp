#include "method/learned.hpp"

#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace bitmill {
namespace {

// Every tensor begins on a cache line.
constexpr int64_t floats_per_line = 16;

// Where a segment's first values are; undefined for those that begin at 1.
at::Tensor first_values(const InitialLinear& linear, LearnedKind kind) {
  switch (kind) {
    case LearnedKind::row_scale:
      return linear.row_scale;
    case LearnedKind::row_mean:
      return linear.frozen.row_mean;
    case LearnedKind::code_scale:
      return linear.frozen.code_scale;
    case LearnedKind::latents:
      return linear.latents;
    case LearnedKind::row_gain:
    case LearnedKind::col_gain:
      return {};
  }
  return {};
}

}  // namespace

at::Tensor LearnedLinear::*member_of(LearnedKind kind) {
  static constexpr std::array members = {&LearnedLinear::row_scale,  &LearnedLinear::row_gain,
                                         &LearnedLinear::col_gain,   &LearnedLinear::row_mean,
                                         &LearnedLinear::code_scale, &LearnedLinear::latents};
  return members[static_cast<size_t>(kind)];
}

LearnedLayout::LearnedLayout(std::span<const InitialLinear> linears, const MethodSettings& settings)
    : parts_(settings.learned) {
  const auto count = static_cast<int>(linears.size());
  for (int linear = 0; linear < count; ++linear) {
    const FrozenLinear& frozen = linears[linear].frozen;
    add(linear, LearnedKind::row_scale, frozen.rows, settings.lr_scale);
    add(linear, LearnedKind::row_gain, frozen.rows, settings.lr_gain);
    add(linear, LearnedKind::col_gain, frozen.low_columns.size(0), settings.lr_gain);
    if (parts_.row_means) add(linear, LearnedKind::row_mean, frozen.rows, settings.lr_mean);
    if (parts_.code_scales) {
      add(linear, LearnedKind::code_scale, frozen.rows, settings.lr_code_scale);
    }
  }
  vectors_size_ = size_;
  for (int linear = 0; parts_.signs && linear < count; ++linear) {
    const FrozenLinear& frozen = linears[linear].frozen;
    add(linear, LearnedKind::latents, frozen.rows * frozen.low_columns.size(0), settings.lr_sign,
        frozen.rows);
  }
}

LearnedLayout::LearnedLayout(std::span<const LearnedLayout* const> blocks) {
  int linears = 0;
  for (const LearnedLayout* block : blocks) {
    assert(block->size_ == block->vectors_size_);
    int last = 0;
    for (LearnedSegment segment : block->segments_) {
      last = std::max(last, segment.linear + 1);
      segment.linear += linears;
      segment.offset += size_;
      segments_.push_back(segment);
    }
    linears += last;
    size_ += block->size_;
  }
  vectors_size_ = size_;
}

void LearnedLayout::add(int linear, LearnedKind kind, int64_t size, double rate, int64_t rows) {
  segments_.push_back({linear, kind, size_, size, rate, rows});
  size_ += (size + floats_per_line - 1) / floats_per_line * floats_per_line;
}

std::vector<float> LearnedLayout::initial_values(std::span<const InitialLinear> linears) const {
  std::vector<float> flat(static_cast<size_t>(size_), 0.0F);
  for (const LearnedSegment& segment : segments_) {
    float* values = flat.data() + segment.offset;
    const at::Tensor first = first_values(linears[segment.linear], segment.kind);
    if (first.defined()) {
      std::copy_n(first.data_ptr<float>(), segment.size, values);
    } else {
      std::fill_n(values, segment.size, 1.0F);
    }
  }
  return flat;
}

std::vector<LearnedLinear> LearnedLayout::views(std::span<float> flat) const {
  std::vector<LearnedLinear> out;
  for (const LearnedSegment& segment : segments_) {
    out.resize(std::max(out.size(), static_cast<size_t>(segment.linear) + 1));
    const at::Tensor view = at::from_blob(flat.data() + segment.offset, {segment.size});
    out[segment.linear].*member_of(segment.kind) =
        segment.rows > 0 ? view.view({segment.rows, segment.size / segment.rows}) : view;
  }
  return out;
}

}  // namespace bitmill

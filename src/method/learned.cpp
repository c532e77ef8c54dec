#include "method/learned.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cassert>
#include <functional>
#include <numeric>

#include "base/pieces.hpp"

namespace bitmill {
namespace {

// Every tensor begins on a cache line.
constexpr int64_t floats_per_line = 16;

const LearnedTensor& find(const LearnedTensors& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &LearnedTensor::name);
  assert(found != tensors.end());
  return *found;
}

}  // namespace

int64_t LearnedTensor::size() const {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

LearnedLayout::LearnedLayout(std::span<const LearnedTensors> linears) {
  const auto add_all = [&](bool large) {
    for (size_t linear = 0; linear < linears.size(); ++linear) {
      for (const LearnedTensor& tensor : linears[linear]) {
        if (tensor.large == large) add(static_cast<int>(linear), tensor);
      }
    }
  };
  add_all(false);
  small_size_ = size_;
  add_all(true);
}

LearnedLayout::LearnedLayout(std::span<const LearnedLayout* const> blocks) {
  int linears = 0;
  for (const LearnedLayout* block : blocks) {
    int last = 0;
    for (LearnedSegment segment : block->segments_) {
      last = std::max(last, segment.linear + 1);
      segment.linear += linears;
      segment.offset += size_;
      segments_.push_back(std::move(segment));
    }
    linears += last;
    size_ += block->size_;
  }
  const auto large = std::ranges::find(segments_, true, &LearnedSegment::large);
  small_size_ = large == segments_.end() ? size_ : large->offset;
}

void LearnedLayout::add(int linear, const LearnedTensor& tensor) {
  const int64_t size = tensor.size();
  segments_.push_back(
      {linear, tensor.name, tensor.shape, size_, size, tensor.rate, tensor.large, tensor.window});
  size_ += rounded_up(size, floats_per_line);
}

LearnedLayout LearnedLayout::small_part() const {
  LearnedLayout part;
  for (const LearnedSegment& segment : segments_) {
    if (!segment.large) part.segments_.push_back(segment);
  }
  part.size_ = part.small_size_ = small_size_;
  return part;
}

LearnedLayout LearnedLayout::large_part() const {
  LearnedLayout part;
  for (const LearnedSegment& segment : segments_) {
    if (!segment.large) continue;
    part.segments_.push_back(segment);
    part.segments_.back().offset -= small_size_;
  }
  part.size_ = size_ - small_size_;
  return part;
}

LearnedNames LearnedLayout::names(int linear) const {
  LearnedNames names;
  for (const LearnedSegment& segment : segments_) {
    if (segment.linear == linear) names.insert(segment.name);
  }
  return names;
}

at::Tensor LearnedLayout::initial_values(std::span<const LearnedTensors> linears,
                                         at::Device device) const {
  at::Tensor flat = at::empty({size_}, device);
  clear_small(flat);
  for (const LearnedSegment& segment : segments_) {
    const at::Tensor& first = find(linears[segment.linear], segment.name).first;
    at::Tensor values = view(flat, segment);
    if (first.defined()) {
      values.copy_(first);
    } else {
      values.fill_(1);
    }
  }
  return flat;
}

void LearnedLayout::clear_small(const at::Tensor& flat) const {
  const at::NoGradGuard no_grad;
  const auto clear = [&](int64_t begin, int64_t end) {
    if (end > begin) flat.narrow(0, begin, end - begin).zero_();
  };
  int64_t end = 0;  // of the elements that are cleared or belong to large segments
  for (const LearnedSegment& segment : segments_) {
    if (!segment.large) continue;
    clear(end, segment.offset);
    end = segment.offset + segment.size;
  }
  clear(end, size_);
}

at::Tensor LearnedLayout::view(const at::Tensor& flat, const LearnedSegment& segment) {
  const at::NoGradGuard no_grad;
  return flat.narrow(0, segment.offset, segment.size).view(segment.shape).detach();
}

std::vector<LearnedLinear> LearnedLayout::views(const at::Tensor& flat,
                                                const at::Tensor& gradient) const {
  std::vector<LearnedLinear> out;
  for (const LearnedSegment& segment : segments_) {
    out.resize(std::max(out.size(), static_cast<size_t>(segment.linear) + 1));
    LearnedLinear& linear = out[segment.linear];
    linear.set(segment.name, view(flat, segment));
    if (segment.large && gradient.defined()) {
      linear.set_gradient_place(segment.name, view(gradient, segment));
    }
  }
  return out;
}

}  // namespace bitmill

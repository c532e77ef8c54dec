#include "model/sample_stream.hpp"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <iterator>
#include <span>
#include <utility>

#include "base/error.hpp"

namespace bitmill {

StreamBudget::StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path)
    : files_(files), path_(std::move(scratch_path)), left_(memory_bytes) {}

bool StreamBudget::take(int64_t bytes) {
  if (bytes > left_) return false;
  left_ -= bytes;
  return true;
}

void StreamBudget::give_back(int64_t bytes) { left_ += bytes; }

int64_t StreamBudget::reserve_scratch(int64_t bytes) {
  assert(bytes > 0);
  if (!scratch_) create_scratch();
  const auto fit = std::ranges::find_if(free_, [&](const auto& r) { return r.second >= bytes; });
  if (fit == free_.end()) {
    return std::exchange(scratch_end_, scratch_end_ + bytes);
  }
  const auto [offset, size] = *fit;
  free_.erase(fit);
  if (size > bytes) free_.emplace(offset + bytes, size - bytes);
  return offset;
}

void StreamBudget::release_scratch(int64_t offset, int64_t bytes) {
  auto region = free_.emplace(offset, bytes).first;
  const auto after = std::next(region);
  if (after != free_.end() && after->first == offset + bytes) {
    region->second += after->second;
    free_.erase(after);
  }
  if (region == free_.begin()) return;
  const auto before = std::prev(region);
  if (before->first + before->second == offset) {
    before->second += region->second;
    free_.erase(region);
  }
}

void StreamBudget::create_scratch() {
  files_.make_directories(parent_path(path_));
  scratch_ = files_.create(path_);
  files_.remove(path_);
}

SampleStream::SampleStream(StreamBudget& budget, int64_t count, int64_t seq_len, int64_t hidden)
    : budget_(budget), count_(count), seq_len_(seq_len), hidden_(hidden) {
  int64_t in_memory = 0;
  while (in_memory < count_ && budget_.take(sample_bytes())) ++in_memory;
  memory_.resize(in_memory);
  const int64_t rest = (count_ - in_memory) * sample_bytes();
  if (rest > 0) scratch_begin_ = budget_.reserve_scratch(rest);
}

SampleStream::~SampleStream() {
  budget_.give_back(std::ssize(memory_) * sample_bytes());
  const int64_t rest = (count_ - std::ssize(memory_)) * sample_bytes();
  if (rest > 0) budget_.release_scratch(scratch_begin_, rest);
}

at::Tensor SampleStream::load(int64_t sample) const {
  assert(sample >= 0 && sample < count_);
  if (sample < std::ssize(memory_)) {
    assert(memory_[sample].defined());
    return memory_[sample];
  }
  at::Tensor value = at::empty({seq_len_, hidden_}, at::kFloat);
  budget_.scratch().read(scratch_offset(sample),
                         std::as_writable_bytes(std::span(value.data_ptr<float>(), value.numel())));
  return value;
}

void SampleStream::store(int64_t sample, const at::Tensor& value) {
  assert(sample >= 0 && sample < count_);
  assert(value.dim() == 2 && value.size(0) == seq_len_ && value.size(1) == hidden_);
  const at::Tensor whole = value.detach().contiguous();
  const auto floats = std::span(whole.const_data_ptr<float>(), whole.numel());
  if (sample >= std::ssize(memory_)) {
    budget_.scratch().write(scratch_offset(sample), std::as_bytes(floats));
    return;
  }
  // A view would keep all of what it looks into alive, outside the budget.
  const bool is_view = std::cmp_greater(whole.storage().nbytes(), floats.size_bytes());
  memory_[sample] = is_view ? whole.clone() : whole;
}

int64_t SampleStream::sample_bytes() const {
  return seq_len_ * hidden_ * static_cast<int64_t>(sizeof(float));
}

int64_t SampleStream::scratch_offset(int64_t sample) const {
  return scratch_begin_ + (sample - std::ssize(memory_)) * sample_bytes();
}

}  // namespace bitmill

#include "model/sample_stream.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <memory>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/memory.hpp"
#include "base/pieces.hpp"
#include "device/device_full.hpp"
#include "model/tensor_floats.hpp"

namespace bitmill {
namespace {

// Samples begin at 64-byte boundaries, as tensors of their own would. The alignment of the operands
// decides which code path MKL takes, and so the last bits of a product.
constexpr int64_t alignment = 64;

// Samples that are brought ahead at a time: a step reads one of each of three streams.
constexpr int most_places = 3;

// For a value that nobody has checked: one that arrived from elsewhere. `sample`: of the stream.
StreamOrigin unknown_origin(int64_t sample) {
  return {"an activation that came from elsewhere", StreamOrigin::unknown, "this rank's sample",
          sample, "it was not found where it arose; please report this"};
}

}  // namespace

StreamBudget::StreamBudget(Files& files, int64_t memory_bytes, std::string scratch_path,
                           const DeviceTier& tier)
    : files_(files), path_(std::move(scratch_path)), left_(memory_bytes), tier_(tier) {
  if (tier_.device != nullptr && !tier_.device->torch().is_cuda()) tier_ = {};
}

bool StreamBudget::take(int64_t bytes) {
  if (bytes > left_) return false;
  left_ -= bytes;
  return true;
}

void StreamBudget::give_back(int64_t bytes) { left_ += bytes; }

bool StreamBudget::take_of_device(int64_t bytes) {
  if (tier_.device == nullptr || bytes > tier_.bytes) return false;
  tier_.bytes -= bytes;
  return true;
}

void StreamBudget::give_back_to_device(int64_t bytes) { tier_.bytes += bytes; }

std::unique_ptr<Arrival> StreamBudget::arrival(at::IntArrayRef shape, at::ScalarType type) {
  if (free_places_.empty()) {
    if (device_is_full_ || places_ == most_places) return nullptr;
    try {
      std::unique_ptr<Arrival> place = tier_.device->arrival(shape, type);
      ++places_;
      return place;
    } catch (const DeviceFullError&) {
      device_is_full_ = true;
      return nullptr;
    }
  }
  std::unique_ptr<Arrival> place = std::move(free_places_.back());
  free_places_.pop_back();
  return place;
}

void StreamBudget::put_back(std::unique_ptr<Arrival> place) {
  free_places_.push_back(std::move(place));
}

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

SampleStream::SampleStream(StreamBudget& budget, int64_t count, int64_t seq_len, int64_t hidden,
                           Dtype dtype)
    : budget_(budget), count_(count), seq_len_(seq_len), hidden_(hidden), dtype_(dtype) {
  take_tiers();
  const int64_t stride = rounded_up(sample_bytes(), alignment);
  if (on_device_ > 0) take_device_memory(stride);
  auto pages = std::make_shared<Pages>(static_cast<size_t>(on_host() * stride));
  std::byte* data = pages->data();
  memory_ = at::from_blob(
      data, {on_host(), stride / dtype_bytes(dtype_)}, [pages = std::move(pages)](void*) {},
      at::TensorOptions(scalar_type(dtype_)));
  const int64_t rest = (count_ - in_memory_) * sample_bytes();
  if (rest > 0) scratch_begin_ = budget_.reserve_scratch(rest);
}

void SampleStream::take_device_memory(int64_t stride) {
  try {
    with_device_errors([&] {
      device_memory_ = at::zeros({on_device_, stride / dtype_bytes(dtype_)},
                                 at::device(budget_.device()->torch()).dtype(scalar_type(dtype_)));
    });
  } catch (const DeviceFullError& error) {
    throw DeviceFullError(fmt::format("a stream between blocks, {} samples of {}: {}", on_device_,
                                      format_bytes(sample_bytes()), error.what()));
  }
}

void SampleStream::take_tiers() {
  while (on_device_ < count_ && budget_.take_of_device(sample_bytes())) ++on_device_;
  in_memory_ = on_device_;
  while (in_memory_ < count_ && budget_.take(sample_bytes())) ++in_memory_;
}

SampleStream::~SampleStream() {
  for (auto& [sample, place] : ahead_) budget_.put_back(std::move(place));
  budget_.give_back_to_device(on_device_ * sample_bytes());
  budget_.give_back(on_host() * sample_bytes());
  const int64_t rest = (count_ - in_memory_) * sample_bytes();
  if (rest > 0) budget_.release_scratch(scratch_begin_, rest);
}

at::Tensor SampleStream::load(int64_t sample) const { return load_kept(sample).to(at::kFloat); }

at::Tensor SampleStream::room(const at::Device& place) const {
  return at::empty({seq_len_, hidden_}, at::device(place).dtype(scalar_type(dtype_)));
}

at::Tensor SampleStream::place_of(int64_t sample) const {
  const at::Tensor row = is_on_device(sample) ? device_memory_.select(0, sample)
                                              : memory_.select(0, sample - on_device_);
  return row.narrow(0, 0, seq_len_ * hidden_).view({seq_len_, hidden_});
}

at::Tensor SampleStream::load_kept(int64_t sample) const {
  assert(sample >= 0 && sample < count_);
  if (is_on_device(sample)) {
    return budget_.device()->fetch(place_of(sample), scalar_type(dtype_));
  }
  if (sample < in_memory_) return place_of(sample);
  at::Tensor value = room();
  budget_.scratch().read(scratch_offset(sample), bytes_of(value));
  return value;
}

at::Tensor SampleStream::load_kept_on(const Device& device, int64_t sample) const {
  if (device.torch().is_cpu()) return load_kept(sample);
  if (is_on_device(sample)) return place_of(sample);
  return device.bring(load_kept(sample), scalar_type(dtype_));
}

// Cast on the device, whatever the way: the same bits.
at::Tensor SampleStream::load_on(const Device& device, int64_t sample) const {
  if (device.torch().is_cpu()) return load(sample);
  if (is_on_device(sample)) return place_of(sample).to(device.element());
  const auto found = ahead_.find(sample);
  if (found == ahead_.end()) return device.bring(load_kept(sample), device.element());
  at::Tensor value = found->second->value(device.element());
  forget_ahead(sample);
  return value;
}

void SampleStream::bring_ahead(int64_t sample) const {
  if (budget_.device() == nullptr || sample >= count_ || is_on_device(sample)) return;
  if (ahead_.contains(sample)) return;
  std::unique_ptr<Arrival> place = budget_.arrival({seq_len_, hidden_}, scalar_type(dtype_));
  if (!place) return;
  place->begin(load_kept(sample));
  ahead_.emplace(sample, std::move(place));
}

void SampleStream::forget_ahead(int64_t sample) const {
  const auto found = ahead_.find(sample);
  if (found == ahead_.end()) return;
  budget_.put_back(std::move(found->second));
  ahead_.erase(found);
}

void SampleStream::prefetch(int64_t sample) const {
  if (sample < in_memory_ || sample >= count_) return;
  budget_.scratch().begin_read(scratch_offset(sample), sample_bytes());
}

void SampleStream::store(int64_t sample, const at::Tensor& value, const StreamOrigin& origin) {
  const at::Tensor whole = value.detach().contiguous();
  if (!whole.is_cuda()) {
    check_stream(whole, dtype_, origin);
    return keep(sample, whole.to(scalar_type(dtype_)));
  }
  // A value that cannot be kept is described on the host.
  const bool can_be_kept =
      is_on_device(sample) && whole.abs().max().item<float>() <= largest_kept(dtype_);
  if (can_be_kept) return keep(sample, whole);
  const at::Tensor here =
      budget_.device() != nullptr ? budget_.device()->fetch(whole) : whole.cpu().to(at::kFloat);
  check_stream(here, dtype_, origin);
  keep(sample, here.to(scalar_type(dtype_)));
}

void SampleStream::store(int64_t sample, const at::Tensor& value) {
  const at::Tensor whole = value.detach().contiguous();
  if (whole.scalar_type() == at::kFloat && dtype_ != Dtype::float32) {
    check_stream(whole, dtype_, unknown_origin(sample));
  }
  keep(sample, whole.to(scalar_type(dtype_)));
}

void SampleStream::keep(int64_t sample, const at::Tensor& whole) {
  assert(sample >= 0 && sample < count_);
  assert(whole.dim() == 2 && whole.size(0) == seq_len_ && whole.size(1) == hidden_);
  if (is_on_device(sample)) {
    const at::Tensor place = place_of(sample);
    place.copy_(whole.is_cuda() ? whole : budget_.device()->bring(whole, scalar_type(dtype_)));
    return;
  }
  forget_ahead(sample);
  if (whole.is_cuda()) return keep(sample, budget_.device()->fetch(whole, scalar_type(dtype_)));
  if (sample >= in_memory_) {
    budget_.scratch().write(scratch_offset(sample), bytes_of(whole));
    budget_.scratch().begin_write_out(scratch_offset(sample), sample_bytes());
    return;
  }
  const at::Tensor place = load_kept(sample);
  // Not copy_(): it would mark the memory as changed, for every sample of the stream.
  if (place.data_ptr() != whole.data_ptr()) {
    std::memcpy(place.data_ptr(), whole.data_ptr(), whole.nbytes());
  }
}

int64_t SampleStream::sample_bytes() const { return seq_len_ * hidden_ * dtype_bytes(dtype_); }

int64_t SampleStream::scratch_offset(int64_t sample) const {
  return scratch_begin_ + (sample - in_memory_) * sample_bytes();
}

}  // namespace bitmill

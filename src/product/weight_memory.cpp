#include "product/weight_memory.hpp"

#include <algorithm>

namespace bitmill {
namespace {

// What is not handed out of a chunk is not written to, and takes no memory but for the rest of its
// last huge page.
constexpr size_t chunk_bytes = size_t{64} << 20;
constexpr size_t line_bytes = 64;

}  // namespace

std::span<std::byte> WeightMemory::take(size_t bytes) {
  const std::lock_guard lock(mutex_);
  const size_t lines = (bytes + line_bytes - 1) / line_bytes * line_bytes;
  if (lines > left_.size()) {
    const size_t size = std::max(lines, chunk_bytes);
    chunks_.push_back(std::make_unique<Pages>(size, Pages::Size::huge));
    left_ = {chunks_.back()->data(), size};
  }
  const auto taken = left_.first(bytes);
  left_ = left_.subspan(lines);
  return taken;
}

}  // namespace bitmill

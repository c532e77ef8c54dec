#pragma once
// Memory for the weights of a model, in huge pages where there are some.

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/memory.hpp"

namespace bitmill {

// Hands out memory that lives as long as this object. Products share its ownership. Safe from
// several threads.
class WeightMemory {
 public:
  // `bytes` zero bytes, aligned to 64; std::bad_alloc when there is no room.
  std::span<std::byte> take(size_t bytes);

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Pages>> chunks_;
  std::span<std::byte> left_;  // of the last chunk
};

}  // namespace bitmill

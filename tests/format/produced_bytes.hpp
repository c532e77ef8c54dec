#pragma once

#include <cstddef>
#include <vector>

#include "format/safetensors_writer.hpp"

namespace bitmill::test {

// All bytes that a tensor produces.
inline std::vector<std::byte> produced_bytes(const TensorSource& tensor) {
  std::vector<std::byte> all;
  tensor.produce(
      [&](std::span<const std::byte> piece) { all.insert(all.end(), piece.begin(), piece.end()); });
  return all;
}

}  // namespace bitmill::test

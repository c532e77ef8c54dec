#pragma once
// Lists of plain values of all ranks.

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "comm/communicator.hpp"

namespace bitmill {

// Collective. As gather_everywhere(), of values instead of bytes; the ranks run one binary.
template <class T>
std::vector<std::vector<T>> gather_values(Communicator& comm, std::span<const T> mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<std::vector<T>> all;
  for (const std::vector<std::byte>& bytes : gather_everywhere(comm, std::as_bytes(mine))) {
    all.emplace_back(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(all.back().data(), bytes.data(), bytes.size());
  }
  return all;
}

}  // namespace bitmill

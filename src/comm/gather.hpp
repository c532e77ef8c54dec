#pragma once
// Gathers values instead of bytes: every rank gets the values of all ranks, in rank order. The only
// place that turns the bytes of gather_everywhere() into values. All functions are collective. The
// ranks run one binary, so a value has the same bytes on all of them; CommError when sizes differ.

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "comm/communicator.hpp"

namespace bitmill {

// CommError unless `bytes`, the length of what rank `rank` sent, is a multiple of `value_bytes`;
// with `one`, unless both are equal.
void check_gathered(const Communicator& comm, size_t rank, size_t bytes, size_t value_bytes,
                    bool one);

// One list per rank. Their lengths may differ.
template <class T>
std::vector<std::vector<T>> gather_values(Communicator& comm, std::span<const T> mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<std::vector<T>> all;
  for (const std::vector<std::byte>& bytes : gather_everywhere(comm, std::as_bytes(mine))) {
    check_gathered(comm, all.size(), bytes.size(), sizeof(T), false);
    all.emplace_back(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(all.back().data(), bytes.data(), bytes.size());
  }
  return all;
}

// The same as one list.
template <class T>
std::vector<T> gather_joined(Communicator& comm, std::span<const T> mine) {
  std::vector<T> all;
  for (const std::vector<T>& theirs : gather_values<T>(comm, mine)) {
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
  return all;
}

// One value per rank.
template <class T>
std::vector<T> gather_value(Communicator& comm, const T& mine) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::vector<T> all;
  for (const std::vector<std::byte>& bytes :
       gather_everywhere(comm, std::as_bytes(std::span(&mine, 1)))) {
    check_gathered(comm, all.size(), bytes.size(), sizeof(T), true);
    std::memcpy(&all.emplace_back(), bytes.data(), sizeof(T));
  }
  return all;
}

// One text per rank. It may hold any bytes.
std::vector<std::string> gather_texts(Communicator& comm, std::string_view mine);

}  // namespace bitmill

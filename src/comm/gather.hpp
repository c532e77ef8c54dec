#pragma once
// What every rank says, on every rank, in rank order: the one place that turns the bytes of
// gather_everywhere() into values. All are collective. The ranks run one binary, so a value looks
// the same on all of them; CommError where its size says otherwise.

#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "comm/communicator.hpp"

namespace bitmill {

// CommError unless `bytes` of rank `rank` are whole values of `value_bytes`; exactly one where
// `one`.
void check_gathered(const Communicator& comm, size_t rank, size_t bytes, size_t value_bytes,
                    bool one);

// A list of every rank, which may differ in length.
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

// One value of every rank.
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

// A text of every rank, of any bytes.
std::vector<std::string> gather_texts(Communicator& comm, std::string_view mine);

}  // namespace bitmill

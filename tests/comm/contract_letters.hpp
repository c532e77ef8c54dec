#pragma once
// Tools for the contract of communicators: messages whose bytes depend on their sender, and checks
// that throw. Plain code without a test framework: see communicator_contract.hpp.

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/communicator.hpp"

namespace bitmill::comm_contract {

class ContractBroken : public Error {
  using Error::Error;
};

inline void require(const Communicator& comm, bool condition, const std::string& rule) {
  if (!condition) {
    throw ContractBroken(fmt::format("rank {} of {}: {}", comm.rank(), comm.size(), rule));
  }
}

// Bytes that depend on the sender, the receiver, and their place in the message.
inline std::vector<std::byte> letter(int from, int to, size_t bytes) {
  constexpr size_t period = 251 * 256;  // of the formula below; later bytes are copied, for speed
  std::vector<std::byte> data(bytes);
  const auto seed = static_cast<size_t>(from * 31 + to * 17);
  for (size_t i = 0; i < std::min(bytes, period); ++i) {
    data[i] = static_cast<std::byte>((i * 7 + i / 251 + seed) % 256);
  }
  for (size_t i = period; i < bytes; i += period) {
    std::copy_n(data.data(), std::min(period, bytes - i), data.data() + i);
  }
  return data;
}

inline bool is_letter(std::span<const std::byte> data, int from, int to) {
  const auto expected = letter(from, to, data.size());
  return std::equal(data.begin(), data.end(), expected.begin());
}

// The message of the CommError that `call` throws.
template <class Call>
std::string comm_error(const Communicator& comm, const std::string& what, Call call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  require(comm, false, what + " was not refused with CommError");
  return "";
}

}  // namespace bitmill::comm_contract

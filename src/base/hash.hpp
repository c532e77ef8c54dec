#pragma once
// XXH3, 128 bits, as 32 hexadecimal digits: for detecting damage and differences, not for security.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace bitmill {

// A hash over everything that was added, in order.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void add(std::span<const std::byte> data);
  // Adds the length before the text, so that ("ab", "c") and ("a", "bc") differ.
  void add_text(std::string_view text);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hash_hex(std::span<const std::byte> data);

// By the name of a tensor: the hash of its bytes.
using TensorHashes = std::map<std::string, std::string>;

}  // namespace bitmill

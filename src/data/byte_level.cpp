#include "data/byte_level.hpp"

#include <array>
#include <cstdint>
#include <unordered_map>

#include "data/utf8.hpp"

namespace bitmill {
namespace {

bool stands_for_itself(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

const std::array<std::string, 256>& character_of_byte() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> characters;
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const uint32_t code = stands_for_itself(byte) ? static_cast<uint32_t>(byte) : next++;
      append_utf8(code, characters[static_cast<size_t>(byte)]);
    }
    return characters;
  }();
  return table;
}

const std::unordered_map<std::string_view, char>& byte_of_character() {
  static const std::unordered_map<std::string_view, char> table = [] {
    std::unordered_map<std::string_view, char> bytes;
    for (size_t byte = 0; byte < 256; ++byte) {
      bytes.emplace(character_of_byte()[byte], static_cast<char>(byte));
    }
    return bytes;
  }();
  return table;
}

}  // namespace

std::string bytes_to_characters(std::string_view bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) text += character_of_byte()[static_cast<uint8_t>(byte)];
  return text;
}

void append_token_bytes(std::string_view token, std::string& bytes) {
  const size_t before = bytes.size();
  for (size_t at = 0; at < token.size();) {
    const size_t length = utf8_char_bytes(token.substr(at));
    const auto found = byte_of_character().find(token.substr(at, length));
    if (found == byte_of_character().end()) {
      bytes.resize(before);
      bytes += token;
      return;
    }
    bytes += found->second;
    at += length;
  }
}

}  // namespace bitmill

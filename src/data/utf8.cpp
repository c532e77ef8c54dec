#include "data/utf8.hpp"

#include <algorithm>

namespace bitmill {
namespace {

// What the first byte says: the length of the character, and the range of its second byte. That
// range excludes overlong forms, surrogates and values above U+10FFFF (Unicode, table 3-7).
struct Lead {
  size_t bytes;  // 0: no character begins with this byte
  uint8_t second_low;
  uint8_t second_high;
};

Lead lead_of(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Step next_utf8(std::string_view text) {
  const Lead lead = lead_of(static_cast<uint8_t>(text[0]));
  if (lead.bytes == 0) return {1, false};
  for (size_t i = 1; i < lead.bytes; ++i) {
    if (i == text.size()) return {i, false};
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    const uint8_t low = i == 1 ? lead.second_low : uint8_t{0x80};
    const uint8_t high = i == 1 ? lead.second_high : uint8_t{0xBF};
    if (byte < low || byte > high) return {i, false};
  }
  return {lead.bytes, true};
}

size_t incomplete_utf8_bytes(std::string_view text) {
  for (size_t bytes = 1; bytes <= 3 && bytes <= text.size(); ++bytes) {
    const std::string_view end = text.substr(text.size() - bytes);
    const Lead lead = lead_of(static_cast<uint8_t>(end[0]));
    if (lead.bytes > bytes) return next_utf8(end).bytes == bytes ? bytes : 0;
  }
  return 0;
}

size_t first_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = next_utf8(text.substr(at));
    if (!step.valid) return at;
    at += step.bytes;
  }
  return std::string_view::npos;
}

size_t utf8_char_bytes(std::string_view text) {
  return lead_of(static_cast<uint8_t>(text[0])).bytes;
}

uint32_t decode_utf8(std::string_view text) {
  const uint8_t lead = static_cast<uint8_t>(text[0]);
  const size_t bytes = utf8_char_bytes(text);
  if (bytes == 1) return lead;
  uint32_t code = lead & (0x7Fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) code = code << 6 | (static_cast<uint8_t>(text[i]) & 0x3Fu);
  return code;
}

int64_t count_utf8_chars(std::string_view text) {
  // Continuation bytes are 10xxxxxx.
  return std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

void append_utf8(uint32_t code_point, std::string& text) {
  const auto continuation = [&](int shift) {
    text += static_cast<char>(0x80 | ((code_point >> shift) & 0x3F));
  };
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else if (code_point < 0x800) {
    text += static_cast<char>(0xC0 | (code_point >> 6));
    continuation(0);
  } else if (code_point < 0x10000) {
    text += static_cast<char>(0xE0 | (code_point >> 12));
    continuation(6);
    continuation(0);
  } else {
    text += static_cast<char>(0xF0 | (code_point >> 18));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = next_utf8(bytes.substr(at));
    text += step.valid ? bytes.substr(at, step.bytes) : replacement_character;
    at += step.bytes;
  }
  return text;
}

}  // namespace bitmill

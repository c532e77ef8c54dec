#pragma once
// UTF-8 as Unicode defines it: no surrogates, no overlong forms, nothing above U+10FFFF.

#include <cstdint>
#include <string>
#include <string_view>

namespace bitmill {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

// One step through bytes that may or may not be UTF-8.
struct Utf8Step {
  size_t bytes = 0;  // of the character; when invalid: of the longest prefix of any character
  bool valid = false;
};

// Looks at the front of `text`, which is not empty.
Utf8Step next_utf8(std::string_view text);

// Number of bytes of an incomplete character at the end of `text`: 0 to 3.
size_t incomplete_utf8_bytes(std::string_view text);

// Offset of the first byte that is not part of a valid character; npos when all is valid.
size_t first_invalid_utf8(std::string_view text);

// Number of bytes of the first character of `text`, which is valid UTF-8 and not empty.
size_t utf8_char_bytes(std::string_view text);

// The first character of `text`, which is valid UTF-8 and not empty.
uint32_t decode_utf8(std::string_view text);

// Number of characters of `text`, which is valid UTF-8.
int64_t count_utf8_chars(std::string_view text);

void append_utf8(uint32_t code_point, std::string& text);

// Every invalid stretch becomes one U+FFFD, as Unicode recommends ("maximal subparts").
std::string replace_invalid_utf8(std::string_view bytes);

}  // namespace bitmill

#pragma once
// GPT-2's alphabet: every byte as one printable character, so that a vocabulary of strings can hold
// any bytes. Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 onwards
// (a space is U+0120).

#include <string>
#include <string_view>

namespace bitmill {

std::string bytes_to_characters(std::string_view bytes);

// Appends the bytes that `token`, valid UTF-8, stands for. A token with a character outside of the
// alphabet (an added token) stands for itself.
void append_token_bytes(std::string_view token, std::string& bytes);

}  // namespace bitmill

#pragma once
// The Unicode classes that decide where words end, as the `tokenizers` package 0.23 (Unicode 16;
// Unicode 17 for the Digits pre-tokenizer) sees them, whatever Unicode version the PCRE2 of this
// machine knows.

#include <string>
#include <string_view>

namespace bitmill {

// Each is the inside of a bracket expression for PCRE2 in UTF mode.

// A general category ("Lu") or group of them ("L"); empty for a name that is not one we know. The
// groups Z and C and their members are not among them.
std::string category_class(std::string_view category);
// Rust's char::is_numeric, which the Digits pre-tokenizer asks.
std::string numeric_class();
// What makes a word that a single_word token must not touch: letters, marks, digits, connectors.
std::string word_class();
// White_Space. PCRE2's own \s also holds U+180E, which stopped being a space in Unicode 6.3.
std::string space_class();

// Bytes of White_Space at the beginning and at the end of valid UTF-8.
size_t leading_space_bytes(std::string_view text);
size_t trailing_space_bytes(std::string_view text);

}  // namespace bitmill

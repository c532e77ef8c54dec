#pragma once
// The Unicode classes that decide where words end, as in the `tokenizers` package 0.23 (Unicode 16;
// Unicode 17 for the Digits pre-tokenizer). They do not depend on the Unicode version of this
// machine's PCRE2.

#include <string>
#include <string_view>

namespace bitmill {

// Each function returns the inside of a bracket expression for PCRE2 in UTF mode.

// A general category ("Lu") or a group of them ("L"); empty for a name that is not known here. The
// groups Z and C and their members are not known.
std::string category_class(std::string_view category);
// Rust's char::is_numeric, which the Digits pre-tokenizer uses.
std::string numeric_class();
// The characters of words, for single_word tokens: letters, marks, digits, connectors. Such a token
// must not be next to one of them.
std::string word_class();
// White_Space. PCRE2's own \s also holds U+180E, which stopped being a space in Unicode 6.3.
std::string space_class();

// Number of bytes of White_Space at the beginning and at the end of valid UTF-8.
size_t leading_space_bytes(std::string_view text);
size_t trailing_space_bytes(std::string_view text);

}  // namespace bitmill

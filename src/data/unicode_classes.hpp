#pragma once
// The Unicode classes that decide where words end, as the `tokenizers` package 0.23 (Unicode 16
// letters, Unicode 17 digits) sees them, whatever Unicode version the PCRE2 of this machine knows.

#include <string>
#include <string_view>

namespace bitmill {

// The inside of a bracket expression for PCRE2 in UTF mode.
std::string letter_class();   // \p{L}
std::string number_class();   // \p{N}
std::string numeric_class();  // \p{N}, as Rust's char::is_numeric (the Digits pre-tokenizer) has it
// White_Space. PCRE2's own \s also holds U+180E, which stopped being a space in Unicode 6.3.
std::string space_class();

// Bytes of White_Space at the beginning and at the end of valid UTF-8.
size_t leading_space_bytes(std::string_view text);
size_t trailing_space_bytes(std::string_view text);

}  // namespace bitmill

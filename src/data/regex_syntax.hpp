#pragma once
// The expressions of a tokenizer.json are written for Oniguruma (Ruby's syntax). This translates
// them for PCRE2.

#include <string>
#include <string_view>

namespace bitmill {

// The same expression for Regex. Understood are characters, escapes, classes (nested ones too),
// general categories, groups, look-around, (?i:...) of ASCII, lazy and possessive quantifiers. They
// are rewritten where the two libraries or their Unicode versions differ. Everything that might
// mean something else to PCRE2 (\w, \b, &&, [:alpha:], scripts, back references) is refused:
// FormatError with `where`, the expression, and the part of it that is not supported.
std::string pcre2_expression(std::string_view expression, const std::string& where);

// An expression that finds exactly `text`.
std::string pcre2_literal(std::string_view text);

}  // namespace bitmill

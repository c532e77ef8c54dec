#pragma once
// The expressions of a tokenizer.json are written for Oniguruma (Ruby's syntax). This says the same
// to PCRE2.

#include <string>
#include <string_view>

namespace bitmill {

// The same expression for Regex. Characters, escapes, classes (nested ones too), general
// categories, groups, look-around, (?i:...) of ASCII, lazy and possessive quantifiers are rewritten
// where the two libraries or their Unicode versions differ; whatever might mean something else to
// PCRE2 (\w, \b, &&, [:alpha:], scripts, back references) is refused: FormatError with `where`, the
// expression, and what in it is not supported.
std::string pcre2_expression(std::string_view expression, const std::string& where);

// The expression that finds `text` itself.
std::string pcre2_literal(std::string_view text);

}  // namespace bitmill

#pragma once
// Reads an expression in Oniguruma's (Ruby's) syntax: its characters, escapes and properties, one
// by one.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bitmill {

// An escape or a character: a single character, or a class of them.
struct RegexAtom {
  std::optional<uint32_t> character;
  std::string members;  // of a class, for the inside of a bracket expression of PCRE2
  bool negated = false;
};

bool is_ascii_alnum(char c);

class RegexScanner {
 public:
  RegexScanner(std::string_view expression, const std::string& where)
      : text_(expression), where_(where) {}

  // FormatError: `what`, at this place of the expression, is not supported.
  [[noreturn]] void refuse(const std::string& what) const;

  bool at_end() const { return at_ == text_.size(); }
  std::string_view rest() const { return text_.substr(at_); }
  bool looks_at(std::string_view token) const { return rest().starts_with(token); }
  void skip(size_t bytes) { at_ += bytes; }
  // Skips `token` if it comes next; says whether it did.
  bool accept(std::string_view token);

  // Reads the next character, which stands for itself, or an escape. REQUIRES: not at_end().
  RegexAtom next_atom();

 private:
  RegexAtom escape();
  uint32_t next_character();
  uint32_t hex_escape(size_t fewest, size_t most);
  RegexAtom property(bool negated);
  RegexAtom category(const std::string& name, bool negated) const;

  std::string_view text_;
  std::string where_;
  size_t at_ = 0;
};

}  // namespace bitmill

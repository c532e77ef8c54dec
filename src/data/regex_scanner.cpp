#include "data/regex_scanner.hpp"

#include <fmt/format.h>

#include <charconv>

#include "base/error.hpp"
#include "data/unicode_classes.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

constexpr uint32_t last_code_point = 0x10FFFF;

}  // namespace

bool is_ascii_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

void RegexScanner::refuse(const std::string& what) const {
  throw FormatError(fmt::format(
      "{}: the expression \"{}\" has {} at byte {}, which is not supported; have the tokenizer's "
      "expression written with characters, classes, categories such as \\p{{L}}, \\s, \\d, "
      "groups, look-around and quantifiers",
      where_, text_, what, at_));
}

bool RegexScanner::accept(std::string_view token) {
  if (!looks_at(token)) return false;
  at_ += token.size();
  return true;
}

RegexAtom RegexScanner::next_atom() {
  return looks_at("\\") ? escape() : RegexAtom{next_character(), "", false};
}

uint32_t RegexScanner::next_character() {
  const uint32_t code = decode_utf8(rest());
  at_ += utf8_char_bytes(rest());
  return code;
}

RegexAtom RegexScanner::escape() {
  ++at_;
  if (at_ == text_.size()) refuse("a backslash at its end");
  const char c = text_[at_];
  switch (c) {
    case 's':
      ++at_;
      return {std::nullopt, space_class(), false};
    case 'S':
      ++at_;
      return {std::nullopt, space_class(), true};
    case 'd':
      ++at_;
      return category("Nd", false);
    case 'D':
      ++at_;
      return category("Nd", true);
    case 'p':
      return property(false);
    case 'P':
      return property(true);
    case 'n':
      ++at_;
      return {'\n', "", false};
    case 'r':
      ++at_;
      return {'\r', "", false};
    case 't':
      ++at_;
      return {'\t', "", false};
    case 'f':
      ++at_;
      return {'\f', "", false};
    case 'v':
      ++at_;
      return {'\v', "", false};
    case 'x':
      return {hex_escape(1, 2), "", false};
    case 'u':
      return {hex_escape(4, 4), "", false};
    default:
      break;
  }
  if (is_ascii_alnum(c)) refuse(fmt::format("\\{}", c));
  return {next_character(), "", false};
}

// \xHH, \x{H...}, \uHHHH; at_ is at the letter.
uint32_t RegexScanner::hex_escape(size_t fewest, size_t most) {
  ++at_;
  const bool braced = fewest == 1 && accept("{");
  const size_t longest = braced ? 8 : most;
  const std::string_view rest = text_.substr(at_, longest);
  uint32_t code = 0;
  const auto [stopped, error] = std::from_chars(rest.data(), rest.data() + rest.size(), code, 16);
  const size_t digits = static_cast<size_t>(stopped - rest.data());
  if (error != std::errc() || digits < fewest) refuse("a hexadecimal escape without its digits");
  at_ += digits;
  if (braced && !accept("}")) refuse("a hexadecimal escape without its brace");
  // Oniguruma takes this as one byte of a character of several bytes.
  if (fewest == 1 && !braced && code > 0x7F) refuse("a byte above 7F");
  if (code > last_code_point || (code >= 0xD800 && code < 0xE000)) refuse("no character's number");
  return code;
}

RegexAtom RegexScanner::property(bool negated) {
  ++at_;
  if (!accept("{")) refuse("a \\p without braces");
  if (accept("^")) negated = !negated;
  const size_t end = text_.find('}', at_);
  if (end == text_.npos) refuse("a \\p without its end");
  const std::string name(text_.substr(at_, end - at_));
  RegexAtom atom = category(name, negated);
  at_ = end + 1;
  return atom;
}

RegexAtom RegexScanner::category(const std::string& name, bool negated) const {
  RegexAtom atom{std::nullopt, category_class(name), negated};
  if (atom.members.empty()) refuse(fmt::format("the property {}", name));
  return atom;
}

}  // namespace bitmill

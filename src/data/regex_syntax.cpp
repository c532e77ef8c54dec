#include "data/regex_syntax.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "data/unicode_classes.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

constexpr uint32_t last_code_point = 0x10FFFF;

std::string code_point_escape(uint32_t code) { return fmt::format("\\x{{{:X}}}", code); }

bool is_ascii_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

// One escape or character: either a single character, or a class of them.
struct Atom {
  std::optional<uint32_t> character;
  std::string members;  // of a class, for the inside of brackets
  bool negated = false;
};

class Translator {
 public:
  Translator(std::string_view expression, const std::string& where)
      : text_(expression), where_(where) {}

  std::string translate() {
    while (at_ < text_.size()) term();
    if (depth_ > 0) refuse("a group that does not end");
    return std::move(out_);
  }

 private:
  // The parts of a bracket expression; negated classes inside of it cannot stand between brackets.
  struct Members {
    std::string positive;
    std::vector<std::string> negated;
  };

  [[noreturn]] void refuse(const std::string& what) const {
    throw FormatError(fmt::format(
        "{}: the expression \"{}\" has {} at byte {}, which is not supported; have the tokenizer's "
        "expression written with characters, classes, categories such as \\p{{L}}, \\s, \\d, "
        "groups, look-around and quantifiers",
        where_, text_, what, at_));
  }

  bool accept(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  uint32_t next_character() {
    const uint32_t code = decode_utf8(text_.substr(at_));
    at_ += utf8_char_bytes(text_.substr(at_));
    return code;
  }

  void term();
  void group();
  void quantifier();
  void interval();
  void literal(uint32_t code);
  Atom escape();
  uint32_t hex_escape(size_t fewest, size_t most);
  Atom property(bool negated);
  Atom category(const std::string& name, bool negated);
  void bracket();
  void class_members(Members& members, int depth);
  void class_atom(Members& members);

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  int depth_ = 0;
  int caseless_depth_ = 0;     // of the group that began (?i:, 0: none
  bool quantifiable_ = false;  // what was written last can be repeated
  char last_caseless_ = 0;     // the literal before this one, inside (?i:
};

void Translator::term() {
  const char c = text_[at_];
  if (c == '*' || c == '+' || c == '?') return quantifier();
  if (c == '{') return interval();
  last_caseless_ = c == '\\' || c == '[' || c == '(' || c == ')' || c == '|' ? 0 : last_caseless_;
  if (c == '(') return group();
  if (c == '[') return bracket();
  if (accept(")")) {
    if (depth_ == 0) refuse("a closing parenthesis too many");
    if (depth_-- == caseless_depth_) caseless_depth_ = 0;
    out_ += ')';
    quantifiable_ = true;
  } else if (accept("|")) {
    out_ += '|';
    quantifiable_ = false;
  } else if (accept("^")) {  // every line's, but not behind the last line feed
    out_ += "(?:\\A|(?<=\\n)(?!\\z))";
    quantifiable_ = false;
  } else if (accept("$")) {
    out_ += "(?=\\n|\\z)";
    quantifiable_ = false;
  } else if (accept(".")) {
    out_ += "[^\\n]";
    quantifiable_ = true;
  } else if (accept("\\A") || accept("\\z")) {
    out_ += text_.substr(at_ - 2, 2);
    quantifiable_ = false;
  } else if (c == '\\') {
    const Atom atom = escape();
    if (atom.character) return literal(*atom.character);
    out_ += fmt::format("[{}{}]", atom.negated ? "^" : "", atom.members);
    quantifiable_ = true;
  } else {
    literal(next_character());
  }
}

// Oniguruma folds some pairs of letters into one character: the pair would match what PCRE2's does
// not.
bool folds_together(char left, char right) {
  for (const std::string_view pair : {"ss", "st", "ff", "fi", "fl"}) {
    if ((left | 0x20) == pair[0] && (right | 0x20) == pair[1]) return true;
  }
  return false;
}

void Translator::literal(uint32_t code) {
  if (caseless_depth_ > 0) {
    if (code > 0x7F) refuse("a character beyond ASCII in a caseless group");
    if (folds_together(last_caseless_, static_cast<char>(code))) {
      refuse("a pair of letters in a caseless group that one ligature can stand for");
    }
    last_caseless_ = static_cast<char>(code);
  }
  if (code < 0x80 && is_ascii_alnum(static_cast<char>(code))) {
    out_ += static_cast<char>(code);
  } else {
    out_ += code_point_escape(code);
  }
  quantifiable_ = true;
}

void Translator::group() {
  constexpr std::array<std::string_view, 6> openings = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
  ++depth_;
  quantifiable_ = false;
  for (const std::string_view opening : openings) {
    if (!accept(opening)) continue;
    out_ += opening;
    return;
  }
  if (accept("(?i:")) {
    if (caseless_depth_ == 0) caseless_depth_ = depth_;
    out_ += "(?i:";
    return;
  }
  if (text_.substr(at_).starts_with("(?") || text_.substr(at_).starts_with("(*")) {
    refuse(fmt::format("the group {}", text_.substr(at_, 4)));
  }
  accept("(");
  out_ += "(?:";  // nothing asks what a group caught
}

void Translator::quantifier() {
  if (!quantifiable_) refuse("a quantifier with nothing to repeat");
  out_ += text_[at_++];
  if (accept("?")) {
    out_ += '?';
  } else if (accept("+")) {
    out_ += '+';
  }
  quantifiable_ = false;
}

// {n}, {n,}, {,m}, {n,m}.
void Translator::interval() {
  const size_t end = text_.find('}', at_);
  const std::string_view inside = end == text_.npos ? "" : text_.substr(at_ + 1, end - at_ - 1);
  const bool is_interval = !inside.empty() && inside != "," &&
                           inside.find_first_not_of("0123456789,") == inside.npos &&
                           inside.find(',') == inside.rfind(',');
  if (!is_interval || !quantifiable_) refuse("a brace that is no interval");
  out_ += fmt::format("{{{}{}}}", inside.front() == ',' ? "0" : "", inside);
  at_ = end + 1;
  // What follows means another thing in each of the two.
  if (at_ < text_.size() && (text_[at_] == '?' || text_[at_] == '+')) {
    refuse("an interval that is lazy or possessive");
  }
  quantifiable_ = false;
}

Atom Translator::escape() {
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

// \xHH, \x{H...}, \uHHHH; at_ stands on the letter.
uint32_t Translator::hex_escape(size_t fewest, size_t most) {
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
  // A byte of a character that has several, to Oniguruma.
  if (fewest == 1 && !braced && code > 0x7F) refuse("a byte above 7F");
  if (code > last_code_point || (code >= 0xD800 && code < 0xE000)) refuse("no character's number");
  return code;
}

Atom Translator::property(bool negated) {
  ++at_;
  if (!accept("{")) refuse("a \\p without braces");
  if (accept("^")) negated = !negated;
  const size_t end = text_.find('}', at_);
  if (end == text_.npos) refuse("a \\p without its end");
  const std::string name(text_.substr(at_, end - at_));
  const Atom atom = category(name, negated);
  at_ = end + 1;
  return atom;
}

Atom Translator::category(const std::string& name, bool negated) {
  Atom atom{std::nullopt, category_class(name), negated};
  if (atom.members.empty()) refuse(fmt::format("the property {}", name));
  if (caseless_depth_ > 0) refuse("a property in a caseless group");
  return atom;
}

void Translator::bracket() {
  if (caseless_depth_ > 0) refuse("a class in a caseless group");
  ++at_;
  const bool negated = accept("^");
  Members members;
  class_members(members, 0);
  quantifiable_ = true;
  if (members.negated.empty()) {
    out_ += fmt::format("[{}{}]", negated ? "^" : "", members.positive);
    return;
  }
  std::string any;
  if (!members.positive.empty()) any = fmt::format("[{}]", members.positive);
  for (const std::string& inner : members.negated) {
    any += fmt::format("{}[^{}]", any.empty() ? "" : "|", inner);
  }
  out_ +=
      negated ? fmt::format("(?:(?!{})[\\x{{0}}-\\x{{10FFFF}}])", any) : fmt::format("(?:{})", any);
}

void Translator::class_members(Members& members, int depth) {
  if (depth > 8) refuse("classes nested deeper than 8");
  for (bool is_first = true;; is_first = false) {
    if (at_ == text_.size()) refuse("a class that does not end");
    if (accept("]")) {
      if (is_first) refuse("an empty class");
      return;
    }
    if (!accept("[")) {
      class_atom(members);
      continue;
    }
    const std::string_view inside = text_.substr(at_);
    if (inside.starts_with(":") || inside.starts_with("^")) {
      refuse("a named or negated class inside of a class");
    }
    class_members(members, depth + 1);  // a union: the same as its members
  }
}

void Translator::class_atom(Members& members) {
  if (text_.substr(at_).starts_with("&&")) refuse("&&");
  const Atom first = text_[at_] == '\\' ? escape() : Atom{next_character(), "", false};
  if (!first.character) {
    if (!first.negated) {
      members.positive += first.members;
    } else {
      members.negated.push_back(first.members);
    }
    return;
  }
  members.positive += code_point_escape(*first.character);
  const std::string_view rest = text_.substr(at_);
  if (rest.size() < 2 || rest[0] != '-' || rest[1] == ']') return;
  accept("-");
  if (text_[at_] == '[') refuse("a range that ends with a class");
  const Atom last = text_[at_] == '\\' ? escape() : Atom{next_character(), "", false};
  if (!last.character || *last.character < *first.character) refuse("a range that does not rise");
  members.positive += '-' + code_point_escape(*last.character);
}

}  // namespace

std::string pcre2_expression(std::string_view expression, const std::string& where) {
  return Translator(expression, where).translate();
}

std::string pcre2_literal(std::string_view text) {
  std::string expression;
  for (size_t at = 0; at < text.size(); at += utf8_char_bytes(text.substr(at))) {
    expression += code_point_escape(decode_utf8(text.substr(at)));
  }
  return expression;
}

}  // namespace bitmill

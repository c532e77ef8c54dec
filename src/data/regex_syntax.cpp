#include "data/regex_syntax.hpp"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "data/regex_scanner.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

std::string code_point_escape(uint32_t code) { return fmt::format("\\x{{{:X}}}", code); }

class Translator {
 public:
  Translator(std::string_view expression, const std::string& where) : scanner_(expression, where) {}

  std::string translate() {
    while (!scanner_.at_end()) term();
    if (depth_ > 0) refuse("a group that does not end");
    return std::move(out_);
  }

 private:
  // The parts of a bracket expression. PCRE2 cannot have a negated class inside of brackets, so
  // those are kept apart.
  struct Members {
    std::string positive;
    std::vector<std::string> negated;
  };

  [[noreturn]] void refuse(const std::string& what) const { scanner_.refuse(what); }
  bool accept(std::string_view token) { return scanner_.accept(token); }

  void term();
  void group();
  void quantifier();
  void interval();
  void literal(uint32_t code);
  void bracket();
  void class_members(Members& members, int depth);
  void class_atom(Members& members);

  RegexScanner scanner_;
  std::string out_;
  int depth_ = 0;
  int caseless_depth_ = 0;     // depth of the group that began with (?i:; 0: none
  bool quantifiable_ = false;  // a quantifier may follow what was written last
  char last_caseless_ = 0;     // the literal before this one, inside of (?i:
};

void Translator::term() {
  const char c = scanner_.rest()[0];
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
  } else if (accept("^")) {  // the beginning of every line, but not behind the last line feed
    out_ += "(?:\\A|(?<=\\n)(?!\\z))";
    quantifiable_ = false;
  } else if (accept("$")) {
    out_ += "(?=\\n|\\z)";
    quantifiable_ = false;
  } else if (accept(".")) {
    out_ += "[^\\n]";
    quantifiable_ = true;
  } else if (scanner_.looks_at("\\A") || scanner_.looks_at("\\z")) {
    out_ += scanner_.rest().substr(0, 2);
    scanner_.skip(2);
    quantifiable_ = false;
  } else {
    const RegexAtom atom = scanner_.next_atom();
    if (atom.character) return literal(*atom.character);
    if (caseless_depth_ > 0) refuse("a class in a caseless group");
    out_ += fmt::format("[{}{}]", atom.negated ? "^" : "", atom.members);
    quantifiable_ = true;
  }
}

// Oniguruma treats some pairs of letters as equal to one character when it ignores case. Such a
// pair would match text that PCRE2 does not match.
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
  if (scanner_.looks_at("(?") || scanner_.looks_at("(*")) {
    refuse(fmt::format("the group {}", scanner_.rest().substr(0, 4)));
  }
  accept("(");
  out_ += "(?:";  // nobody uses what a group matched
}

void Translator::quantifier() {
  if (!quantifiable_) refuse("a quantifier with nothing to repeat");
  out_ += scanner_.rest()[0];
  scanner_.skip(1);
  if (accept("?")) {
    out_ += '?';
  } else if (accept("+")) {
    out_ += '+';
  }
  quantifiable_ = false;
}

// {n}, {n,}, {,m}, {n,m}.
void Translator::interval() {
  const std::string_view rest = scanner_.rest();
  const size_t end = rest.find('}');
  const std::string_view inside = end == rest.npos ? "" : rest.substr(1, end - 1);
  const bool is_interval = !inside.empty() && inside != "," &&
                           inside.find_first_not_of("0123456789,") == inside.npos &&
                           inside.find(',') == inside.rfind(',');
  if (!is_interval || !quantifiable_) refuse("a brace that is no interval");
  out_ += fmt::format("{{{}{}}}", inside.front() == ',' ? "0" : "", inside);
  scanner_.skip(end + 1);
  // A ? or + behind an interval has different meanings in the two libraries.
  if (scanner_.looks_at("?") || scanner_.looks_at("+")) {
    refuse("an interval that is lazy or possessive");
  }
  quantifiable_ = false;
}

void Translator::bracket() {
  if (caseless_depth_ > 0) refuse("a class in a caseless group");
  accept("[");
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
    if (scanner_.at_end()) refuse("a class that does not end");
    if (accept("]")) {
      if (is_first) refuse("an empty class");
      return;
    }
    if (!accept("[")) {
      class_atom(members);
      continue;
    }
    if (scanner_.looks_at(":") || scanner_.looks_at("^")) {
      refuse("a named or negated class inside of a class");
    }
    class_members(members, depth + 1);  // a class in a class only adds its members
  }
}

void Translator::class_atom(Members& members) {
  if (scanner_.looks_at("&&")) refuse("&&");
  const RegexAtom first = scanner_.next_atom();
  if (!first.character) {
    if (!first.negated) {
      members.positive += first.members;
    } else {
      members.negated.push_back(first.members);
    }
    return;
  }
  members.positive += code_point_escape(*first.character);
  const std::string_view rest = scanner_.rest();
  if (rest.size() < 2 || rest[0] != '-' || rest[1] == ']') return;
  accept("-");
  if (scanner_.looks_at("[")) refuse("a range that ends with a class");
  const RegexAtom last = scanner_.next_atom();
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

#pragma once
// A regular expression over UTF-8 (PCRE2, compiled to machine code where the library can).

#include <functional>
#include <string>
#include <string_view>

#include "base/handle.hpp"

struct pcre2_real_code_8;  // what <pcre2.h> calls pcre2_code

namespace bitmill {

// May be used from several threads at once.
class Regex {
 public:
  // An expression of PCRE2: see regex_syntax.hpp. FormatError, with `where` and the library's
  // words, when the library refuses the expression.
  Regex(const std::string& pattern, const std::string& where);

  // Calls `match` with the bytes [begin, end) of every match in `text` (valid UTF-8), in order.
  // A match may be empty, but not at the place where the match before it ended. FormatError when
  // the library gives up on this text.
  void find_all(std::string_view text, const std::function<void(size_t, size_t)>& match) const;

 private:
  struct CodeTraits {
    using Type = pcre2_real_code_8*;
    static Type null() { return nullptr; }
    static void destroy(Type code);
  };
  UniqueHandle<CodeTraits> code_;
  std::string where_;
};

}  // namespace bitmill

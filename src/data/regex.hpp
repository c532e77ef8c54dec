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
  // Throws Error with the library's words when the pattern is wrong.
  explicit Regex(const std::string& pattern);

  // Cuts `text`, valid UTF-8, into its matches and what lies between them, none of them empty, in
  // order. Together they are the whole text.
  void split(std::string_view text, const std::function<void(std::string_view)>& piece) const;

 private:
  struct CodeTraits {
    using Type = pcre2_real_code_8*;
    static Type null() { return nullptr; }
    static void destroy(Type code);
  };
  UniqueHandle<CodeTraits> code_;
};

}  // namespace bitmill

#pragma once
// The linears that --ignore names: they stay in 16 bit.
//
// An entry is a regular expression (ECMAScript) that is searched in a linear's name, with or
// without the ".weight" at its end: "down_proj", "layers\.0\.". Several entries stand with commas
// between them. As other tools write it:
//  - "re:EXPRESSION" must match from the beginning of the name (llm-compressor);
//  - "*.down_proj", which is no expression, is a pattern for the whole name, as of file names;
//  - a whole name, such as "model.layers.3.mlp.down_proj", is an expression that finds this one.

#include <regex>
#include <string>
#include <vector>

namespace bitmill {

class IgnoredLinears {
 public:
  IgnoredLinears() = default;
  // Both never throw: problem() says what cannot be understood.
  IgnoredLinears(std::string text);  // NOLINT(google-explicit-constructor): options are set by text
  IgnoredLinears(const char* text) : IgnoredLinears(std::string(text)) {}  // NOLINT: the same

  const std::string& text() const { return text_; }  // as it was given
  bool empty() const { return entries_.empty(); }
  // Why the text is none of the above, as a sentence that names --ignore; empty when it is fine.
  const std::string& problem() const { return problem_; }

  // `tensor` is the full name of a weight, with ".weight". REQUIRES: problem() is empty.
  bool contains(const std::string& tensor) const;

  // For every entry, in order: its text, and which of `tensors` it names.
  struct Hits {
    std::string entry;
    std::vector<std::string> tensors;
  };
  std::vector<Hits> hits(const std::vector<std::string>& tensors) const;

 private:
  struct Entry {
    std::string text;
    std::regex expression;
    std::regex_constants::match_flag_type flags = std::regex_constants::match_default;

    bool names(const std::string& tensor) const;
  };

  void add(const std::string& text);

  std::string text_;
  std::string problem_;
  std::vector<Entry> entries_;
};

}  // namespace bitmill

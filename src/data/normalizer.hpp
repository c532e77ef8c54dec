#pragma once
// Changes a text before it is cut into words: Prepend, Replace, and the Unicode normal forms, in
// the order of the file.

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/normal_form.hpp"
#include "data/regex.hpp"

namespace bitmill {

class Normalizer {
 public:
  // The "normalizer" of a tokenizer.json, or null. FormatError for what is not supported.
  Normalizer(const nlohmann::json& normalizer, const std::string& file);

  bool is_identity() const { return steps_.empty(); }
  // FormatError when the steps make a text far longer than they should (normalizer.cpp).
  std::string apply(std::string_view text) const;

 private:
  enum class Kind { prepend, replace_text, replace_matches, normal_form };
  struct Step {
    Kind kind = Kind::prepend;                // an empty text is left alone
    std::string content;                      // what is prepended, or the replacement
    std::string pattern;                      // replace_text
    std::unique_ptr<const Regex> expression;  // replace_matches
    NormalForm form = NormalForm::nfc;
  };
  static Step read_step(const nlohmann::json& leaf, const std::string& where);
  static std::string changed(const Step& step, std::string text);

  std::vector<Step> steps_;
  std::string where_;
};

// Every occurrence of `pattern` (not empty), from the left, without overlap.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

}  // namespace bitmill

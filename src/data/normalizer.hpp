#pragma once
// What happens to a text before it is cut into words. Prepend and Replace, in the file's order.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

class Normalizer {
 public:
  // The "normalizer" of a tokenizer.json, or null. FormatError for what is not supported.
  Normalizer(const nlohmann::json& normalizer, const std::string& where);

  bool is_identity() const { return steps_.empty(); }
  std::string apply(std::string_view text) const;

 private:
  struct Step {
    std::string pattern;  // empty: prepend, which leaves an empty text alone
    std::string content;
  };
  std::vector<Step> steps_;
};

// Every occurrence of `pattern` (not empty), from the left, without overlap.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

}  // namespace bitmill

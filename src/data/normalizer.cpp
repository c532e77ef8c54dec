#include "data/normalizer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {

using nlohmann::json;

Normalizer::Normalizer(const json& normalizer, const std::string& file) {
  const std::string where = file + ": normalizer";
  for (const json* leaf : part_leaves(normalizer, "normalizers", where)) {
    const std::string type = part_type(*leaf, where);
    if (type == "Prepend") {
      steps_.push_back({"", json_string(*leaf, "prepend", where)});
    } else if (type == "Replace") {
      steps_.push_back({plain_pattern(*leaf, where), json_string(*leaf, "content", where)});
    } else {
      refuse_part(where, type, "Prepend, Replace of a plain string, and their Sequence");
    }
  }
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) {
    if (!step.pattern.empty()) {
      result = replace_all(result, step.pattern, step.content);
    } else if (!result.empty()) {
      result.insert(0, step.content);
    }
  }
  return result;
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string result;
  result.reserve(text.size());
  size_t done = 0;
  for (size_t at = text.find(pattern); at != text.npos; at = text.find(pattern, done)) {
    result += text.substr(done, at - done);
    result += content;
    done = at + pattern.size();
  }
  result += text.substr(done);
  return result;
}

}  // namespace bitmill

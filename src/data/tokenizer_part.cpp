#include "data/tokenizer_part.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {

using nlohmann::json;

std::string part_type(const json& part, const std::string& where) {
  return json_string(part, "type", where);
}

std::vector<const json*> part_leaves(const json& part, const char* list_key,
                                     const std::string& where) {
  if (part.is_null()) return {};
  if (part_type(part, where) != "Sequence") return {&part};
  const auto list = part.find(list_key);
  BITMILL_CHECK(list != part.end() && list->is_array(), FormatError,
                fmt::format("{}: a Sequence must have a list \"{}\"", where, list_key));
  std::vector<const json*> leaves;
  for (const json& inner : *list) {
    const std::vector<const json*> more = part_leaves(inner, list_key, where);
    leaves.insert(leaves.end(), more.begin(), more.end());
  }
  return leaves;
}

void refuse_part(const std::string& where, const std::string& what, const char* supported) {
  throw FormatError(fmt::format("{}: {} is not supported; supported: {}", where, what, supported));
}

std::string plain_pattern(const json& part, const std::string& where) {
  const json pattern = part.value("pattern", json());
  if (!pattern.is_object() || !pattern.contains("String")) {
    refuse_part(where, fmt::format("the pattern {}", pattern.dump()), "{\"String\": text}");
  }
  const std::string text = json_string(pattern, "String", where);
  BITMILL_CHECK(!text.empty(), FormatError, fmt::format("{}: an empty pattern", where));
  return text;
}

}  // namespace bitmill

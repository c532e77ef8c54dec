#include "data/tokenizer_part.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/regex_syntax.hpp"

namespace bitmill {

using nlohmann::json;

namespace {

// Each part of a sequence calls the next one, so their number is the depth of the stack. Published
// files have seven parts at most.
constexpr size_t most_parts = 64;

}  // namespace

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
  BITMILL_CHECK(leaves.size() <= most_parts, FormatError,
                fmt::format("{}: a Sequence of {} parts; at most {} are supported", where,
                            leaves.size(), most_parts));
  return leaves;
}

void refuse_part(const std::string& where, const std::string& what, const char* supported) {
  throw FormatError(fmt::format("{}: {} is not supported; supported: {}", where, what, supported));
}

bool has_plain_pattern(const json& part) {
  const auto pattern = part.find("pattern");
  return pattern != part.end() && pattern->is_object() && pattern->contains("String");
}

std::string plain_pattern(const json& part, const std::string& where) {
  if (!has_plain_pattern(part)) {
    refuse_part(where, fmt::format("the pattern {}", part.value("pattern", json()).dump()),
                "{\"String\": text}");
  }
  std::string text = json_string(part["pattern"], "String", where);
  BITMILL_CHECK(!text.empty(), FormatError, fmt::format("{}: an empty pattern", where));
  return text;
}

Regex part_pattern(const json& part, const std::string& where) {
  if (has_plain_pattern(part)) return Regex(pcre2_literal(plain_pattern(part, where)), where);
  const auto pattern = part.find("pattern");
  BITMILL_CHECK(pattern != part.end(), FormatError,
                fmt::format("{}: there is no \"pattern\"", where));
  return Regex(pcre2_expression(json_string(*pattern, "Regex", where), where), where);
}

}  // namespace bitmill

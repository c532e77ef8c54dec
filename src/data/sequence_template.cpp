#include "data/sequence_template.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Ids of the special token that a template calls `name`.
std::vector<int32_t> ids_of(const json& leaf, const std::string& name, const std::string& where) {
  const json empty = json::object();
  const json tokens = leaf.value("special_tokens", empty);
  const json token = tokens.is_object() ? tokens.value(name, empty) : empty;
  const json ids = token.is_object() ? token.value("ids", empty) : empty;
  BITMILL_CHECK(ids.is_array() && !ids.empty(), FormatError,
                fmt::format("{}: the template names \"{}\", and special_tokens has no ids for it",
                            where, name));
  std::vector<int32_t> result;
  for (const json& id : ids) {
    const bool fits =
        id.is_number_unsigned() && id.get<uint64_t>() < std::numeric_limits<int32_t>::max();
    BITMILL_CHECK(fits, FormatError,
                  fmt::format("{}: \"{}\" has the id {}, which is not a number in [0, 2^31 - 1)",
                              where, name, id.dump()));
    result.push_back(id.get<int32_t>());
  }
  return result;
}

}  // namespace

SequenceTemplate::SequenceTemplate(const json& post_processor, const std::string& file) {
  const std::string where = file + ": post_processor";
  bool found = false;
  for (const json* leaf : part_leaves(post_processor, "processors", where)) {
    const std::string type = part_type(*leaf, where);
    if (type == "ByteLevel") continue;  // it changes offsets, never ids
    if (type != "TemplateProcessing") {
      refuse_part(where, type, "TemplateProcessing, ByteLevel, and their Sequence");
    }
    if (found) refuse_part(where, "a second TemplateProcessing", "one");
    found = true;
    read(*leaf, where);
  }
}

SequenceTemplate::SequenceTemplate(std::vector<int32_t> before, std::vector<int32_t> after)
    : before_(std::move(before)), after_(std::move(after)) {}

void SequenceTemplate::read(const json& leaf, const std::string& where) {
  const json single = leaf.value("single", json());
  BITMILL_CHECK(single.is_array(), FormatError,
                fmt::format("{}: \"single\" must be a list of pieces", where));
  int texts = 0;
  for (const json& piece : single) {
    if (piece.is_object() && piece.contains("SpecialToken")) {
      const std::string name = json_string(piece["SpecialToken"], "id", where);
      std::vector<int32_t>& side = texts == 0 ? before_ : after_;
      for (const int32_t id : ids_of(leaf, name, where)) side.push_back(id);
    } else if (piece.is_object() && piece.contains("Sequence") &&
               json_string(piece["Sequence"], "id", where) == "A") {
      ++texts;
    } else {
      refuse_part(where, fmt::format("the piece {}", piece.dump()), "SpecialToken and Sequence A");
    }
  }
  BITMILL_CHECK(texts == 1, FormatError,
                fmt::format("{}: \"single\" has the text {} times instead of once", where, texts));
}

int32_t SequenceTemplate::largest_id() const {
  int32_t largest = -1;
  for (const int32_t id : before_) largest = std::max(largest, id);
  for (const int32_t id : after_) largest = std::max(largest, id);
  return largest;
}

}  // namespace bitmill

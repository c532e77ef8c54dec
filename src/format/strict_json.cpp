#include "format/strict_json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr int deepest_nesting = 16;  // a header needs 2: tensor, shape; a config.json half of it

}  // namespace

json parse_strict_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> open;  // keys so far, of every object that is not closed yet
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    BITMILL_CHECK(depth <= deepest_nesting, FormatError,
                  fmt::format("{}: nested deeper than {} levels", where, deepest_nesting));
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      BITMILL_CHECK(open.back().insert(key).second, FormatError,
                    fmt::format("{}: the key \"{}\" occurs twice", where, key));
    }
    return true;
  };
  refuse_zero_bytes(text, where);
  try {
    return json::parse(text, check);
  } catch (const json::exception& error) {
    throw FormatError(fmt::format("{} is not valid JSON: {}", where, error.what()));
  }
}

}  // namespace bitmill

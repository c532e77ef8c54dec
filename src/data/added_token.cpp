#include "data/added_token.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {

using nlohmann::json;

AddedToken read_added_token(const json& token, const std::string& where) {
  AddedToken result;
  result.content = json_string(token, "content", where);
  result.lstrip = json_bool_or(token, "lstrip", false, where);
  result.rstrip = json_bool_or(token, "rstrip", false, where);
  result.single_word = json_bool_or(token, "single_word", false, where);
  result.normalized = json_bool_or(token, "normalized", false, where);
  result.special = json_bool_or(token, "special", false, where);
  return result;
}

std::vector<AddedToken> read_added_tokens(const json& list, const std::string& where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  BITMILL_CHECK(list.is_array(), FormatError, fmt::format("{}: must be a list", where));
  for (const json& token : list) {
    tokens.push_back(read_added_token(token, where));
    tokens.back().id = json_int(token, "id", where);
  }
  return tokens;
}

}  // namespace bitmill

#include "base/json.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// A limit, because nlohmann's destructor of a value calls itself for every level. Real files have
// less than ten levels.
constexpr int deepest_nesting = 100;
// A tensor header needs 2 levels (tensor, shape); a config.json needs a few more.
constexpr int deepest_strict_nesting = 16;

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

const json& require(const json& object, const char* key, const std::string& where) {
  const json* value = find(object, key);
  BITMILL_CHECK(value != nullptr, FormatError, fmt::format("{}: \"{}\" is missing", where, key));
  return *value;
}

[[noreturn]] void wrong_type(const json& value, const char* key, const char* expected,
                             const std::string& where) {
  throw FormatError(fmt::format("{}: \"{}\" must be {}, and is {}", where, key, expected,
                                value.dump().substr(0, 80)));
}

int64_t as_int(const json& value, const char* key, const std::string& where) {
  if (!value.is_number_integer()) wrong_type(value, key, "a whole number", where);
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX}) {
    wrong_type(value, key, "a whole number below 2^63", where);
  }
  return value.get<int64_t>();
}

double as_number(const json& value, const char* key, const std::string& where) {
  if (!value.is_number()) wrong_type(value, key, "a number", where);
  return value.get<double>();
}

std::string as_string(const json& value, const char* key, const std::string& where) {
  if (!value.is_string()) wrong_type(value, key, "a string", where);
  return value.get<std::string>();
}

}  // namespace

json parse_strict_json(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> open;  // keys so far, of every object that is not closed yet
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    BITMILL_CHECK(depth <= deepest_strict_nesting, FormatError,
                  fmt::format("{}: nested deeper than {} levels", where, deepest_strict_nesting));
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

void refuse_zero_bytes(std::string_view text, const std::string& where) {
  const size_t zero = text.find('\0');
  BITMILL_CHECK(zero == text.npos, FormatError,
                fmt::format("{} is not valid JSON: byte {} is zero", where, zero));
}

json parse_json(std::string_view text, const std::string& where) {
  refuse_zero_bytes(text, where);
  try {
    return json::parse(text, [&](int depth, json::parse_event_t, json&) {
      BITMILL_CHECK(depth <= deepest_nesting, FormatError,
                    fmt::format("{}: nested deeper than {} levels", where, deepest_nesting));
      return true;
    });
  } catch (const json::exception& error) {
    throw FormatError(fmt::format("{} is not valid JSON: {}", where, error.what()));
  }
}

std::string json_text(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace);
}

int64_t json_int(const json& object, const char* key, const std::string& where) {
  return as_int(require(object, key, where), key, where);
}

double json_number(const json& object, const char* key, const std::string& where) {
  return as_number(require(object, key, where), key, where);
}

std::string json_string(const json& object, const char* key, const std::string& where) {
  return as_string(require(object, key, where), key, where);
}

int64_t json_int_or(const json& object, const char* key, int64_t fallback,
                    const std::string& where) {
  const json* value = find(object, key);
  return value ? as_int(*value, key, where) : fallback;
}

double json_number_or(const json& object, const char* key, double fallback,
                      const std::string& where) {
  const json* value = find(object, key);
  return value ? as_number(*value, key, where) : fallback;
}

bool json_bool_or(const json& object, const char* key, bool fallback, const std::string& where) {
  const json* value = find(object, key);
  if (value && !value->is_boolean()) wrong_type(*value, key, "true or false", where);
  return value ? value->get<bool>() : fallback;
}

std::string json_string_or(const json& object, const char* key, const std::string& fallback,
                           const std::string& where) {
  const json* value = find(object, key);
  return value ? as_string(*value, key, where) : fallback;
}

}  // namespace bitmill

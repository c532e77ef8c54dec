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
constexpr size_t deepest_nesting = 100;
// A tensor header needs 2 levels (tensor, shape); a config.json needs a few more.
constexpr size_t deepest_strict_nesting = 16;

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

// What is refused before values are built. nlohmann would call a function while it builds them, but
// then it looks at all elements of an array or object whenever an object in it ends: the time grows
// with the square of their number, and a body of 1 MB keeps a server busy for minutes. So the text
// is read twice.
class ContentCheck final : public json::json_sax_t {
 public:
  enum class Keys { may_repeat, once };

  ContentCheck(const std::string& where, size_t deepest, Keys keys)
      : where_(where), deepest_(deepest), keys_(keys) {}

  bool start_object(size_t) override {
    open();
    return true;
  }
  bool start_array(size_t) override {
    open();
    return true;
  }
  bool key(std::string& name) override {
    BITMILL_CHECK(keys_ == Keys::may_repeat || open_.back().insert(name).second, FormatError,
                  fmt::format("{}: the key \"{}\" occurs twice", where_, name));
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(json::binary_t&) override { return true; }
  // The parser that builds the value finds the same fault, and says it in its words.
  bool parse_error(size_t, const std::string&, const json::exception&) override { return false; }

 private:
  void open() {
    open_.emplace_back();
    BITMILL_CHECK(open_.size() <= deepest_, FormatError,
                  fmt::format("{}: nested deeper than {} levels", where_, deepest_));
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  size_t deepest_;
  Keys keys_;
  // Of every object and array that is not closed yet: its keys so far, if they may occur once only.
  std::vector<std::set<std::string>> open_;
};

json parse_checked(std::string_view text, ContentCheck check, const std::string& where) {
  refuse_zero_bytes(text, where);
  try {
    json::sax_parse(text, &check);
    return json::parse(text);
  } catch (const json::exception& error) {
    throw FormatError(fmt::format("{} is not valid JSON: {}", where, error.what()));
  }
}

}  // namespace

json parse_strict_json(std::string_view text, const std::string& where) {
  return parse_checked(text, {where, deepest_strict_nesting, ContentCheck::Keys::once}, where);
}

void refuse_zero_bytes(std::string_view text, const std::string& where) {
  const size_t zero = text.find('\0');
  BITMILL_CHECK(zero == text.npos, FormatError,
                fmt::format("{} is not valid JSON: byte {} is zero", where, zero));
}

json parse_json(std::string_view text, const std::string& where) {
  return parse_checked(text, {where, deepest_nesting, ContentCheck::Keys::may_repeat}, where);
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

#include "model/config_fields.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"

namespace bitmill {
namespace {

// Far above the sizes of any model, and low enough that no product of two sizes overflows.
constexpr int64_t largest_size = int64_t{1} << 31;

}  // namespace

ConfigFields::ConfigFields(const nlohmann::json& object, std::string where)
    : object_(object), where_(std::move(where)) {}

void ConfigFields::require(bool fine, const std::string& problem) {
  if (!fine) problems_.push_back(where_ + ": " + problem);
}

void ConfigFields::adopt(const ConfigFields& part) {
  problems_.insert(problems_.end(), part.problems_.begin(), part.problems_.end());
}

bool ConfigFields::has(const char* key) const {
  saw(key);
  const auto it = object_.find(key);
  return it != object_.end() && !it->is_null();
}

std::vector<std::string> ConfigFields::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items()) {
    if (!asked_.contains(key)) keys.push_back(key);
  }
  return keys;
}

// The value that `get` returns, or `instead` and a problem when it throws.
template <class Value, class Get>
Value ConfigFields::attempt(Value instead, Get get) {
  try {
    return get();
  } catch (const FormatError& error) {
    problems_.emplace_back(error.what());
    return instead;
  }
}

int64_t ConfigFields::checked_size(const char* key, int64_t value, int64_t least) {
  const bool fits = value >= least && value <= largest_size;
  require(fits,
          fmt::format("\"{}\" is {}; it must lie in [{}, {}]", key, value, least, largest_size));
  return fits ? value : 1;
}

int64_t ConfigFields::size(const char* key) {
  saw(key);
  return checked_size(key, attempt(int64_t{1}, [&] { return json_int(object_, key, where_); }), 1);
}

int64_t ConfigFields::size_or(const char* key, int64_t fallback, int64_t least) {
  saw(key);
  const auto read = [&] { return json_int_or(object_, key, fallback, where_); };
  return checked_size(key, attempt(int64_t{1}, read), least);
}

double ConfigFields::positive_or(const char* key, double fallback) {
  saw(key);
  const double value =
      attempt(fallback, [&] { return json_number_or(object_, key, fallback, where_); });
  require(std::isfinite(value) && value > 0,
          fmt::format("\"{}\" is {}; it must be a number above 0", key, value));
  return value;
}

bool ConfigFields::flag_or(const char* key, bool fallback) {
  saw(key);
  return attempt(fallback, [&] { return json_bool_or(object_, key, fallback, where_); });
}

std::string ConfigFields::text_or(const char* key, const std::string& fallback) {
  saw(key);
  return attempt(fallback, [&] { return json_string_or(object_, key, fallback, where_); });
}

}  // namespace bitmill

#include "serve/request_fields.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/json.hpp"
#include "base/suggestion.hpp"
#include "serve/request_error.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr size_t longest_shown = 80;      // bytes of a value in a message
constexpr size_t most_unknown_named = 8;  // keys in a message

json parsed_object(std::string_view body) {
  json object;
  try {
    object = parse_strict_json(body, "the body");
  } catch (const FormatError& error) {
    throw RequestError(http_status::bad_request, "", error.what());
  }
  if (!object.is_object()) {
    throw RequestError(
        http_status::bad_request, "",
        fmt::format("the body must be a JSON object, and is {}", shown_value(object)));
  }
  return object;
}

// Not in the middle of a character.
std::string cut_text(std::string text, size_t length) {
  if (text.size() <= length) return text;
  while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  return text.substr(0, length) + "...";
}

}  // namespace

std::string shown_value(const json& value) {
  // Of a long list or text the beginning is enough, and dump() would write all of it.
  constexpr size_t few = 8;
  if (value.is_structured() && value.size() > few) {
    return fmt::format("{} of {} entries", value.is_array() ? "a list" : "an object", value.size());
  }
  return cut_text(value.dump(), longest_shown);
}

void refuse_value(const std::string& key, const std::string& expected, const json& value) {
  throw RequestError(
      http_status::bad_request, key,
      fmt::format("\"{}\" must be {}, and is {}", key, expected, shown_value(value)));
}

RequestFields::RequestFields(std::string_view body)
    : object_(std::make_shared<const json>(parsed_object(body))) {}

RequestFields::RequestFields(std::shared_ptr<const json> object, std::string name)
    : object_(std::move(object)), name_(std::move(name)) {}

std::string RequestFields::name_of(const std::string& key) const {
  return name_.empty() ? key : name_ + "." + key;
}

const json* RequestFields::find(const std::string& key) {
  known_.push_back(key);
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> RequestFields::whole(const std::string& key, int64_t low, int64_t high) {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  // Compared with an int64, a number above its range would wrap, and be a negative one.
  const bool wraps = value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX;
  const bool fits = value->is_number_integer() && !wraps && *value >= low && *value <= high;
  if (!fits) {
    refuse_value(name_of(key), fmt::format("a whole number from {} to {}", low, high), *value);
  }
  return value->get<int64_t>();
}

std::optional<double> RequestFields::number(const std::string& key, double low, double high) {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool fits =
      value->is_number() && value->get<double>() >= low && value->get<double>() <= high;
  if (!fits) refuse_value(name_of(key), fmt::format("a number from {} to {}", low, high), *value);
  return value->get<double>();
}

std::optional<std::string> RequestFields::text(const std::string& key) {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse_value(name_of(key), "a text", *value);
  return value->get<std::string>();
}

std::optional<bool> RequestFields::flag(const std::string& key) {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) refuse_value(name_of(key), "true or false", *value);
  return value->get<bool>();
}

std::optional<RequestFields> RequestFields::object(const std::string& key) {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) refuse_value(name_of(key), "an object", *value);
  return RequestFields(std::shared_ptr<const json>(object_, value), name_of(key));
}

void RequestFields::check_all_known() const {
  std::vector<std::string> unknown;
  for (const auto& [key, value] : object_->items()) {
    if (std::ranges::find(known_, key) == known_.end()) unknown.push_back(key);
  }
  if (unknown.empty()) return;
  std::vector<std::string> words;
  for (const std::string& key : unknown) {
    if (words.size() == most_unknown_named) {
      words.push_back(fmt::format("and {} more", unknown.size() - most_unknown_named));
      break;
    }
    const std::string shown = cut_text(key, longest_shown);
    const bool whole = shown == key;
    words.push_back(
        fmt::format("\"{}\"{}", shown, whole ? did_you_mean(key, known_, "") : std::string()));
  }
  throw RequestError(
      http_status::bad_request, name_of(cut_text(unknown.front(), longest_shown)),
      fmt::format("{} has what this server does not understand, and does not skip: "
                  "{}; leave it out",
                  name_.empty() ? "the body" : "\"" + name_ + "\"", fmt::join(words, ", ")));
}

}  // namespace bitmill

#pragma once
// The keys of a request's JSON object, read one by one. A key that nobody asked for is an error:
// what is not understood would otherwise be skipped, and the client would never know.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

class RequestFields {
 public:
  // RequestError 400 unless `body` is one JSON object without a key that occurs twice, nested no
  // deeper than 16 levels.
  explicit RequestFields(std::string_view body);

  // The value of a key; nullptr when it is missing or null. From now on the key is known.
  const nlohmann::json* find(const std::string& key);

  // Nothing when the key is missing or null. RequestError 400, with key and value, for another type
  // or a number outside of [low, high].
  std::optional<int64_t> whole(const std::string& key, int64_t low, int64_t high);
  std::optional<double> number(const std::string& key, double low, double high);
  std::optional<std::string> text(const std::string& key);
  std::optional<bool> flag(const std::string& key);
  bool is_on(const std::string& key) { return flag(key).value_or(false); }
  // An inner object, whose errors name it, too: "KEY.INNER KEY".
  std::optional<RequestFields> object(const std::string& key);

  // The key as errors name it.
  std::string name_of(const std::string& key) const;

  // RequestError 400 naming all keys that are not known, with the nearest known ones.
  void check_all_known() const;

 private:
  RequestFields(std::shared_ptr<const nlohmann::json> object, std::string name);

  std::shared_ptr<const nlohmann::json> object_;
  std::string name_;  // of an inner object
  std::vector<std::string> known_;
};

// A value as messages show it: cut short.
std::string shown_value(const nlohmann::json& value);
// RequestError 400: "KEY must be EXPECTED, and is VALUE".
[[noreturn]] void refuse_value(const std::string& key, const std::string& expected,
                               const nlohmann::json& value);

}  // namespace bitmill

#pragma once
// Reads the values of a JSON object and collects everything that is wrong, so that a user sees all
// problems at once. Remembers which keys were asked for.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

class ConfigFields {
 public:
  // The object outlives this. `where` names it in problems.
  ConfigFields(const nlohmann::json& object, std::string where);

  // Adds the problem unless `fine`.
  void require(bool fine, const std::string& problem);
  const std::vector<std::string>& problems() const { return problems_; }
  void adopt(const ConfigFields& part);  // adds its problems to ours

  // True when the key is there and not null.
  bool has(const char* key) const;
  // Looks at values without counting as having asked for them.
  const nlohmann::json& object() const { return object_; }
  // Counts the key as asked for: it is understood, though its value has no effect.
  void saw(const char* key) const { asked_.emplace(key); }
  // The keys that nobody has asked for, sorted.
  std::vector<std::string> unread() const;
  const std::string& where() const { return where_; }

  // A value of another type, or a size or number outside its range, is a problem; the call then
  // returns something harmless. The fallback is for a missing key or null. Sizes lie in
  // [least, 2^31].
  int64_t size(const char* key);
  int64_t size_or(const char* key, int64_t fallback, int64_t least = 1);
  double positive_or(const char* key, double fallback);
  bool flag_or(const char* key, bool fallback);
  std::string text_or(const char* key, const std::string& fallback);

 private:
  int64_t checked_size(const char* key, int64_t value, int64_t least);
  template <class Value, class Get>
  Value attempt(Value instead, Get get);

  const nlohmann::json& object_;
  const std::string where_;
  std::vector<std::string> problems_;
  mutable std::set<std::string, std::less<>> asked_;
};

}  // namespace bitmill

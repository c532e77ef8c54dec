#include "cli/options/settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

[[noreturn]] void refuse(const Setting& setting, const std::string& expected) {
  throw UsageError(
      fmt::format("{}: expected {}, found \"{}\"", setting.origin, expected, setting.value));
}

// All of the text must be one number, without blanks and without a sign other than '-'.
template <class Number>
bool parse_number(const std::string& text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  return code == std::errc() && rest == end;
}

}  // namespace

void Settings::add(const std::string& name, Setting setting) {
  values_.emplace(name, std::move(setting));
}

void Settings::add_missing(const Settings& lower) {
  values_.insert(lower.values_.begin(), lower.values_.end());
}

const Setting* Settings::find(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::string Settings::origin(const std::string& name) const {
  const Setting* setting = find(name);
  return setting ? setting->origin : "--" + name;
}

std::string Settings::text_or(const std::string& name, const std::string& fallback) const {
  const Setting* setting = find(name);
  return setting ? setting->value : fallback;
}

std::string Settings::folder_or(const std::string& name, const std::string& fallback) const {
  std::string path = text_or(name, fallback);
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

int64_t Settings::whole_or(const std::string& name, int64_t fallback, int64_t lowest,
                           int64_t highest) const {
  const Setting* setting = find(name);
  if (!setting) return fallback;
  int64_t number = 0;
  if (!parse_number(setting->value, number) || number < lowest || number > highest) {
    const std::string bound = highest == INT64_MAX ? fmt::format("of at least {}", lowest)
                                                   : fmt::format("from {} to {}", lowest, highest);
    refuse(*setting, "a whole number " + bound);
  }
  return number;
}

uint64_t Settings::seed_or(const std::string& name, uint64_t fallback) const {
  const Setting* setting = find(name);
  if (!setting) return fallback;
  uint64_t number = 0;
  if (!parse_number(setting->value, number)) refuse(*setting, "a whole number from 0 to 2^64 - 1");
  return number;
}

double Settings::rate_or(const std::string& name, double fallback) const {
  const Setting* setting = find(name);
  if (!setting) return fallback;
  double number = 0;
  if (!parse_number(setting->value, number) || !std::isfinite(number) || number < 0) {
    refuse(*setting, "a finite number of at least 0, such as 5e-4");
  }
  return number;
}

int64_t Settings::bytes_or(const std::string& name, int64_t fallback) const {
  const Setting* setting = find(name);
  if (!setting) return fallback;
  try {
    const int64_t bytes = parse_bytes(setting->value);
    if (bytes > 0) return bytes;
  } catch (const UsageError&) {
    // The message below is better: it also names the origin.
  }
  refuse(*setting, "a size in bytes above 0, such as 512M, 5GB or 2GiB");
}

bool Settings::is_on(const std::string& name) const {
  const Setting* setting = find(name);
  if (!setting) return false;
  constexpr std::array<const char*, 4> on = {"true", "yes", "on", "1"};
  constexpr std::array<const char*, 4> off = {"false", "no", "off", "0"};
  if (std::ranges::find(on, setting->value) != on.end()) return true;
  if (std::ranges::find(off, setting->value) != off.end()) return false;
  refuse(*setting, "true or false");
}

size_t Settings::word_or(const std::string& name, const std::vector<std::string>& words,
                         size_t fallback) const {
  const Setting* setting = find(name);
  if (!setting) return fallback;
  const auto found = std::ranges::find(words, setting->value);
  if (found == words.end()) {
    throw UsageError(fmt::format("{}: expected {}, found \"{}\"{}", setting->origin,
                                 fmt::join(words, " or "), setting->value,
                                 did_you_mean(setting->value, words, "")));
  }
  return static_cast<size_t>(found - words.begin());
}

void Settings::require(const std::vector<std::string>& names, const std::string& command) const {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    if (text_or(name, "").empty()) missing.push_back("--" + name);
  }
  BITMILL_CHECK(missing.empty(), UsageError,
                fmt::format("bitmill {} needs {}; see bitmill help {}", command,
                            fmt::join(missing, " and "), command));
}

}  // namespace bitmill

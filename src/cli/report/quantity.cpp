#include "cli/report/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include "base/error.hpp"
#include "schedule/plan.hpp"

namespace bitmill {
namespace {

// Bytes of a unit such as "M", "mb" or "GiB"; 0 for a text that is not a unit.
double unit_bytes(std::string unit) {
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : static_cast<char>(c);
  });
  if (unit.empty() || unit == "B") return 1;
  constexpr std::string_view letters = "KMGT";
  const size_t power = letters.find(unit.front());
  if (power == std::string_view::npos) return 0;
  const std::string rest = unit.substr(1);
  if (rest.empty() || rest == "IB") return std::pow(1024.0, static_cast<double>(power) + 1);
  if (rest == "B") return std::pow(1000.0, static_cast<double>(power) + 1);
  return 0;
}

constexpr int64_t minute_s = 60, hour_s = 60 * minute_s, day_s = 24 * hour_s;

// Only digits, at most nine: even as a number of days they do not overflow in seconds.
std::optional<int64_t> whole_number(std::string_view text) {
  const bool digits = !text.empty() && text.size() <= 9 &&
                      text.find_first_not_of("0123456789") == std::string_view::npos;
  int64_t number = 0;
  if (digits) std::from_chars(text.data(), text.data() + text.size(), number);
  return digits ? std::optional(number) : std::nullopt;
}

// "MM:SS" or "HH:MM:SS"; the first number may be large, the others are below 60.
std::optional<int64_t> clock_seconds(std::string_view text) {
  int64_t seconds = 0;
  for (int parts = 1; parts <= 3; ++parts) {
    const size_t colon = text.find(':');
    const auto number = whole_number(text.substr(0, colon));
    if (!number || (parts > 1 && *number >= 60)) return std::nullopt;
    seconds = 60 * seconds + *number;
    if (colon == std::string_view::npos) return parts > 1 ? std::optional(seconds) : std::nullopt;
    text.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

std::optional<int64_t> any_seconds(std::string_view text) {
  if (const size_t dash = text.find('-'); dash != std::string_view::npos) {
    const std::string_view time = text.substr(dash + 1);
    const auto days = whole_number(text.substr(0, dash));
    const auto rest = clock_seconds(time);
    const bool full = std::ranges::count(time, ':') == 2;
    return days && rest && full && *rest < day_s ? std::optional(*days * day_s + *rest)
                                                 : std::nullopt;
  }
  if (text.find(':') != std::string_view::npos) return clock_seconds(text);
  const int64_t unit = text.ends_with('s')   ? 1
                       : text.ends_with('m') ? minute_s
                       : text.ends_with('h') ? hour_s
                                             : 0;
  const auto number = whole_number(unit > 0 ? text.substr(0, text.size() - 1) : text);
  return number ? std::optional(*number * std::max<int64_t>(unit, 1)) : std::nullopt;
}

// The whole text as a number of at least 1; 0 when it is not one.
int parse_positive(std::string_view text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  return code == std::errc() && rest == end && number > 0 ? number : 0;
}

}  // namespace

int64_t parse_seconds(const std::string& text) {
  const std::optional<int64_t> seconds = any_seconds(text);
  BITMILL_CHECK(seconds, UsageError,
                fmt::format("\"{}\" is not a time; write it as 90, 90s, 15m, 2h, 02:03:04 or "
                            "1-02:03:04 (days-hours:minutes:seconds)",
                            text));
  return *seconds;
}

int64_t parse_bytes(const std::string& text) {
  const std::string problem =
      fmt::format("\"{}\" is not a size in bytes; write it as 512M, 5GB or 2GiB", text);
  double amount = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, amount, std::chars_format::fixed);
  BITMILL_CHECK(code == std::errc() && amount >= 0 && std::isfinite(amount), UsageError, problem);
  const char* unit = rest;
  while (unit != end && *unit == ' ') ++unit;
  const double bytes = amount * unit_bytes(std::string(unit, end));
  // 2^62 bytes are far more than any disk has, and less than int64_t can hold.
  BITMILL_CHECK(unit_bytes(std::string(unit, end)) > 0 && bytes < 0x1p62, UsageError, problem);
  return static_cast<int64_t>(std::llround(bytes));
}

int parse_lag(const std::string& text, int epochs, const std::string& origin) {
  constexpr std::string_view fraction = "epochs/";
  if (text == "epochs") return epochs;
  if (text.starts_with(fraction)) {
    const int parts = parse_positive(std::string_view(text).substr(fraction.size()));
    BITMILL_CHECK(
        parts > 0, UsageError,
        fmt::format("{}: expected \"epochs/N\" with a whole number N of at least 1, found "
                    "\"{}\"",
                    origin, text));
    return nearest_divisors(epochs, std::max(1, epochs / parts)).first;
  }
  const int lag = parse_positive(text);
  BITMILL_CHECK(lag > 0, UsageError,
                fmt::format("{}: expected a number of epochs, \"epochs\" or \"epochs/N\", found "
                            "\"{}\"",
                            origin, text));
  const auto [below, above] = nearest_divisors(epochs, lag);
  const std::string nearest =
      below == above ? fmt::format("{}", below) : fmt::format("{} or {}", below, above);
  BITMILL_CHECK(epochs % lag == 0, UsageError,
                fmt::format("{}: {} does not divide {} epochs into whole turns; try {}", origin,
                            lag, epochs, nearest));
  return lag;
}

std::string format_seconds(double seconds) {
  if (!(seconds > 0)) return "0 s";
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < hour_s) return fmt::format("{} min {:02} s", whole / minute_s, whole % minute_s);
  if (whole < day_s)
    return fmt::format("{} h {:02} min", whole / hour_s, whole % hour_s / minute_s);
  return fmt::format("{} d {:02} h", whole / day_s, whole % day_s / hour_s);
}

std::string format_count(int64_t count) {
  const std::string digits = fmt::format("{}", count);
  const size_t first = count < 0 ? 1 : 0;
  std::string grouped;
  for (size_t at = 0; at < digits.size(); ++at) {
    if (at > first && (digits.size() - at) % 3 == 0) grouped += ',';
    grouped += digits[at];
  }
  return grouped;
}

std::string format_number_of(const std::string& thing, int64_t count) {
  return fmt::format("{} {}{}", format_count(count), thing, count == 1 ? "" : "s");
}

}  // namespace bitmill

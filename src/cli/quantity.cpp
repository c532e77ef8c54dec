#include "cli/quantity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include "base/error.hpp"

namespace bitmill {
namespace {

// Bytes of a unit such as "M", "mb" or "GiB"; 0 when it is none.
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

}  // namespace

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
  // 2^62: far beyond any disk, and safe to convert.
  BITMILL_CHECK(unit_bytes(std::string(unit, end)) > 0 && bytes < 0x1p62, UsageError, problem);
  return static_cast<int64_t>(std::llround(bytes));
}

std::string format_bytes(int64_t bytes) {
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  constexpr std::array<const char*, 5> units = {"kB", "MB", "GB", "TB", "PB"};
  double amount = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // 999.5 would be printed as 1000.
  while (amount >= 999.5 && unit + 1 < units.size()) {
    amount /= 1000;
    ++unit;
  }
  const int digits = amount < 9.995 ? 2 : amount < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", amount, digits, units[unit]);
}

std::string format_seconds(double seconds) {
  if (!(seconds > 0)) return "0 s";
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(seconds);
  constexpr int64_t minute = 60, hour = 60 * minute, day = 24 * hour;
  if (whole < hour) return fmt::format("{} min {:02} s", whole / minute, whole % minute);
  if (whole < day) return fmt::format("{} h {:02} min", whole / hour, whole % hour / minute);
  return fmt::format("{} d {:02} h", whole / day, whole % day / hour);
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

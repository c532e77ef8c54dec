#include "cli/options/lag.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

#include "base/error.hpp"
#include "schedule/plan.hpp"

namespace bitmill {
namespace {

// The whole text as a number of at least 1; 0 when it is none.
int parse_positive(std::string_view text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, code] = std::from_chars(text.data(), end, number);
  return code == std::errc() && rest == end && number > 0 ? number : 0;
}

}  // namespace

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

}  // namespace bitmill

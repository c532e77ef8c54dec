#include "method/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.hpp"

namespace bitmill {

ExactRatio ExactRatio::parse(const std::string& text) {
  const std::string problem =
      fmt::format("\"{}\" is not a decimal number in [0, 1) with at most nine digits", text);
  const size_t point = text.find('.');
  const std::string whole = text.substr(0, point);
  const std::string fraction = point == std::string::npos ? "" : text.substr(point + 1);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_zero = [](char c) { return c == '0'; };
  BITMILL_CHECK(!(whole.empty() && fraction.empty()) &&
                    std::all_of(whole.begin(), whole.end(), is_zero) && fraction.size() <= 9 &&
                    std::all_of(fraction.begin(), fraction.end(), is_digit),
                UsageError, problem);
  ExactRatio ratio;
  for (const char digit : fraction) {
    ratio.numerator = ratio.numerator * 10 + (digit - '0');
    ratio.denominator *= 10;
  }
  const int64_t divisor = std::gcd(ratio.numerator, ratio.denominator);
  return {ratio.numerator / divisor, ratio.denominator / divisor};
}

std::string ExactRatio::text() const {
  std::string digits;
  for (int64_t rest = numerator % denominator; rest != 0; rest = rest * 10 % denominator) {
    digits += static_cast<char>('0' + rest * 10 / denominator);
  }
  return digits.empty() ? "0" : "0." + digits;
}

}  // namespace bitmill

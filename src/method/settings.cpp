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

// A value that is missing in one of these is an error of the compiler (-Wswitch).
std::string_view word_of(Saliency saliency) {
  switch (saliency) {
    case Saliency::max:
      return "max";
    case Saliency::mean:
      return "mean";
  }
  return {};
}

std::string_view word_of(Int4Range range) {
  switch (range) {
    case Int4Range::row:
      return "row";
    case Int4Range::salient:
      return "salient";
  }
  return {};
}

std::string_view word_of(Init init) {
  switch (init) {
    case Init::weights:
      return "weights";
    case Init::descent:
      return "cd";
  }
  return {};
}

std::string_view word_of(ErrorKind error) {
  switch (error) {
    case ErrorKind::absolute:
      return "mse";
    case ErrorKind::relative:
      return "relative";
  }
  return {};
}

std::string_view word_of(RateSchedule schedule) {
  switch (schedule) {
    case RateSchedule::constant:
      return "constant";
    case RateSchedule::cosine:
      return "cosine";
    case RateSchedule::cosine_to_zero:
      return "cosine-to-zero";
  }
  return {};
}

}  // namespace bitmill

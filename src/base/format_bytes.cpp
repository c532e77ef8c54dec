#include "base/format_bytes.hpp"

#include <fmt/format.h>

#include <array>

namespace bitmill {

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

}  // namespace bitmill

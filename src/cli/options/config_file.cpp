#include "cli/options/config_file.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Cuts off a comment: a # at the start or after a blank, outside quotes.
std::string_view without_comment(std::string_view line) {
  bool quoted = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') quoted = !quoted;
    const bool begins_word = i == 0 || blanks.find(line[i - 1]) != std::string_view::npos;
    if (line[i] == '#' && !quoted && begins_word) return line.substr(0, i);
  }
  return line;
}

std::string_view unquoted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    return value.substr(1, value.size() - 2);
  }
  return value;
}

void check_not_given_before(const std::vector<ConfigEntry>& entries, const ConfigEntry& entry,
                            const std::string& where) {
  for (const ConfigEntry& before : entries) {
    BITMILL_CHECK(before.section != entry.section || before.key != entry.key, UsageError,
                  fmt::format("{} gives {} twice, in lines {} and {}", where, entry.key,
                              before.line, entry.line));
  }
}

}  // namespace

std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& where) {
  std::vector<ConfigEntry> entries;
  std::string section;
  for (int number = 1; !text.empty(); ++number) {
    const size_t newline = text.find('\n');
    const std::string_view line = trim(without_comment(text.substr(0, newline)));
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    if (line.empty()) continue;
    if (line.front() == '[') {
      BITMILL_CHECK(line.back() == ']', UsageError,
                    fmt::format("{} line {}: [ without ]: {}", where, number, line));
      section = trim(line.substr(1, line.size() - 2));
      continue;
    }
    const size_t equals = line.find('=');
    const std::string_view key = trim(line.substr(0, equals));
    BITMILL_CHECK(equals != std::string_view::npos && !key.empty(), UsageError,
                  fmt::format("{} line {}: expected key = value or [section], found: {}", where,
                              number, line));
    ConfigEntry entry{section, std::string(key),
                      std::string(unquoted(trim(line.substr(equals + 1)))), number};
    check_not_given_before(entries, entry, where);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<std::string> config_headings(std::string_view text) {
  std::vector<std::string> headings;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = trim(without_comment(text.substr(0, newline)));
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    if (line.size() < 2 || line.front() != '[' || line.back() != ']') continue;
    headings.emplace_back(trim(line.substr(1, line.size() - 2)));
  }
  return headings;
}

}  // namespace bitmill

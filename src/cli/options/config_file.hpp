#pragma once
// The text of a config file or recipe: `key = value` lines, `[section]` headings, `#` comments on
// their own line or after a blank. Values may be quoted with " to keep blanks or a #.

#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

struct ConfigEntry {
  std::string section;  // empty before the first heading
  std::string key;
  std::string value;
  int line = 0;  // from 1
};

// In file order. UsageError, with `where` and the line, for a line that is none of the above and
// for a key that a section holds twice.
std::vector<ConfigEntry> parse_config(std::string_view text, const std::string& where);

// The names of all headings, also of those without a line of their own.
std::vector<std::string> config_headings(std::string_view text);

}  // namespace bitmill

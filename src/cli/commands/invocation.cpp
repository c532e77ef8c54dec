#include "cli/commands/invocation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.hpp"
#include "cli/commands/command_table.hpp"
#include "cli/commands/help.hpp"
#include "cli/options/config_file.hpp"

namespace bitmill {
namespace {

// Bytes. A config is about a page: nobody will reach this limit.
constexpr int64_t largest_config = 1 << 20;

bool is_help_word(const std::string& word) {
  return word == "--help" || word == "-h" || word == "help";
}

bool is_version_word(const std::string& word) { return word == "--version" || word == "version"; }

bool has_help_option(const std::vector<std::string>& words) {
  return std::ranges::any_of(words, [](const auto& w) { return w == "--help" || w == "-h"; });
}

// A config without a line for the command would change nothing, and nobody would notice.
void check_has_section(Files& files, const std::string& path, const std::string& section) {
  std::vector<std::string> sections;
  for (const ConfigEntry& entry : parse_config(read_text(files, path, largest_config), path)) {
    if (entry.section == section) return;
    if (std::ranges::find(sections, entry.section) == sections.end()) {
      sections.push_back(entry.section);
    }
  }
  throw UsageError(fmt::format(
      "{} sets nothing in [{}], the section of this command{}", path, section,
      sections.empty() ? "" : fmt::format("; it has [{}]", fmt::join(sections, "], ["))));
}

}  // namespace

Settings config_settings(Files& files, const std::string& path, const std::string& section,
                         const OptionGroups& options) {
  const std::string text = read_text(files, path, largest_config);
  std::vector<std::string> commands;
  for (const CommandEntry& entry : command_table()) commands.push_back(entry.name);
  check_sections(text, path, commands);
  Settings settings = parse_section(text, path, section, options);
  BITMILL_CHECK(!settings.has("config"), UsageError,
                settings.origin("config") + ": a config file cannot name another");
  return settings;
}

Invocation read_invocation(Files& files, const std::vector<std::string>& words) {
  const CommandEntry& entry = find_command(words.front());
  const std::vector<std::string> rest(words.begin() + 1, words.end());
  Invocation invocation{&entry, parse_words(rest, entry.options, entry.positional, entry.name)};
  Settings& settings = invocation.settings;
  if (settings.has("config")) {
    const std::string path = settings.text_or("config", "");
    settings.add_missing(config_settings(files, path, entry.name, entry.options));
    // The sections of `run` are those of its parts; its own may be missing.
    if (entry.name != "run") check_has_section(files, path, entry.name);
  }
  return invocation;
}

bool asks_about_itself(const std::vector<std::string>& words) {
  return words.empty() || is_help_word(words.front()) || is_version_word(words.front()) ||
         has_help_option(words);
}

Answer answer_about_itself(const std::vector<std::string>& words) {
  if (words.empty()) return {help_overview(), false};
  if (is_version_word(words.front())) return {version_text(), true};
  if (is_help_word(words.front())) {
    return {words.size() > 1 ? help_of(find_command(words[1])) : help_overview(), true};
  }
  return {help_of(find_command(words.front())), true};
}

}  // namespace bitmill

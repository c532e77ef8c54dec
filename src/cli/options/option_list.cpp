#include "cli/options/option_list.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/program_options.hpp>

#include "base/error.hpp"
#include "base/suggestion.hpp"
#include "cli/options/config_file.hpp"
#include "cli/options/not_yet.hpp"

namespace bitmill {
namespace {

namespace po = boost::program_options;

po::options_description describe(const OptionGroups& groups) {
  po::options_description description;
  for (const OptionGroup& group : groups) {
    for (const Option& option : group.options) {
      if (option.value.empty()) {
        description.add_options()(option.name.c_str(), "");
      } else {
        description.add_options()(option.name.c_str(), po::value<std::string>(), "");
      }
    }
  }
  return description;
}

// For errors without a message of ours, Boost's message is used.
std::vector<po::option> split_words(const std::vector<std::string>& words,
                                    const OptionGroups& groups, const std::string& command) {
  // No abbreviations: a new option could make one ambiguous.
  constexpr int style = po::command_line_style::allow_long |
                        po::command_line_style::long_allow_adjacent |
                        po::command_line_style::long_allow_next;
  const po::options_description description = describe(groups);
  try {
    return po::command_line_parser(words).options(description).style(style).run().options;
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    name.erase(std::min(name.find('='), name.size()));
    BITMILL_CHECK(!is_option_not_yet(command, name), UsageError,
                  fmt::format("--{} of bitmill {} is not there yet; bitmill help {} lists the "
                              "options that this version has",
                              name, command, command));
    throw UsageError(fmt::format("bitmill {} has no option --{}{}; see bitmill help {}", command,
                                 name, did_you_mean(name, option_names(groups), "--"), command));
  } catch (const po::error& error) {
    throw UsageError(
        fmt::format("bitmill {}: {}; see bitmill help {}", command, error.what(), command));
  }
}

void add_once(Settings& settings, const std::string& name, Setting setting) {
  BITMILL_CHECK(!settings.has(name), UsageError,
                fmt::format("{} is given twice: {} and {}", setting.origin,
                            settings.text_or(name, ""), setting.value));
  settings.add(name, std::move(setting));
}

}  // namespace

std::vector<std::string> option_names(const OptionGroups& groups) {
  std::vector<std::string> names;
  for (const OptionGroup& group : groups) {
    for (const Option& option : group.options) names.push_back(option.name);
  }
  return names;
}

Settings parse_words(const std::vector<std::string>& words, const OptionGroups& groups,
                     const std::string& positional, const std::string& command) {
  Settings settings;
  for (const po::option& option : split_words(words, groups, command)) {
    const std::string value = option.value.empty() ? "true" : option.value.front();
    if (option.string_key.empty()) {
      BITMILL_CHECK(!positional.empty() && !value.starts_with("-"), UsageError,
                    fmt::format("bitmill {} does not understand \"{}\"; see bitmill help {}",
                                command, value, command));
      add_once(settings, positional, {value, positional});
      continue;
    }
    const std::string name = "--" + option.string_key;
    // When a value was forgotten, Boost takes the next option for it.
    BITMILL_CHECK(!value.starts_with("--"), UsageError,
                  fmt::format("{} needs a value; it is followed by {}", name, value));
    add_once(settings, option.string_key, {value, name});
  }
  return settings;
}

Settings parse_section(const std::string& text, const std::string& path, const std::string& section,
                       const OptionGroups& groups) {
  const std::vector<std::string> names = option_names(groups);
  Settings settings;
  for (const ConfigEntry& entry : parse_config(text, path)) {
    if (entry.section != section) continue;
    // A recipe has no sections: it is one of quantize.
    BITMILL_CHECK(!is_option_not_yet(section.empty() ? "quantize" : section, entry.key), UsageError,
                  fmt::format("{} line {}: the setting \"{}\" is not there yet", path, entry.line,
                              entry.key));
    BITMILL_CHECK(std::ranges::find(names, entry.key) != names.end(), UsageError,
                  fmt::format("{} line {}: there is no setting \"{}\" here{}", path, entry.line,
                              entry.key, did_you_mean(entry.key, names, "")));
    settings.add(entry.key,
                 {entry.value, fmt::format("{} in line {} of {}", entry.key, entry.line, path)});
  }
  return settings;
}

void check_sections(const std::string& text, const std::string& path,
                    const std::vector<std::string>& known) {
  for (const ConfigEntry& entry : parse_config(text, path)) {
    if (std::ranges::find(known, entry.section) != known.end()) continue;
    BITMILL_CHECK(!is_command_not_yet(entry.section), UsageError,
                  fmt::format("{} line {}: the command [{}] is not there yet", path, entry.line,
                              entry.section));
    const std::string found = entry.section.empty()
                                  ? fmt::format("{} stands before the first section", entry.key)
                                  : fmt::format("there is no section [{}]{}", entry.section,
                                                did_you_mean(entry.section, known, ""));
    throw UsageError(fmt::format("{} line {}: {}; sections are named after the commands: {}", path,
                                 entry.line, found, fmt::join(known, ", ")));
  }
}

}  // namespace bitmill

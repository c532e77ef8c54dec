#pragma once
// The options of a command as data. The command line, config files and the help use the same table.

#include <string>
#include <vector>

#include "cli/options/settings.hpp"

namespace bitmill {

struct Option {
  std::string name;    // without dashes; also the key in config files
  std::string value;   // placeholder of the value in the help: "N", "DIR"; empty: a switch
  std::string normal;  // the default, for the help; empty: none
  std::string help;
};

struct OptionGroup {
  std::string title;
  std::vector<Option> options;
};
using OptionGroups = std::vector<OptionGroup>;

std::vector<std::string> option_names(const OptionGroups& groups);

// Reads the words after the command. A word without dashes becomes the value of `positional`; an
// empty `positional` refuses it. UsageError for an unknown option (with the nearest name), a
// missing value, an option given twice, a second positional word.
Settings parse_words(const std::vector<std::string>& words, const OptionGroups& groups,
                     const std::string& positional, const std::string& command);

// The values of [section] in a config file's text. UsageError for keys that are not options.
Settings parse_section(const std::string& text, const std::string& path, const std::string& section,
                       const OptionGroups& groups);

// UsageError for a section of a config file that is not in `known`.
void check_sections(const std::string& text, const std::string& path,
                    const std::vector<std::string>& known);

}  // namespace bitmill

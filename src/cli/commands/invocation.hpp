#pragma once
// From the words of a command line to a command and its settings.

#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/commands/command.hpp"

namespace bitmill {

struct Invocation {
  const CommandEntry* entry = nullptr;  // in the table
  Settings settings;                    // of the command line, then of --config; no recipe
};

// `words` are not empty; the first one is the command. UsageError.
Invocation read_invocation(Files& files, const std::vector<std::string>& words);

// The values of [section] in the file `path`. UsageError for sections that are not named after
// commands.
Settings config_settings(Files& files, const std::string& path, const std::string& section,
                         const OptionGroups& options);

// The answer when the user asks about bitmill itself (help, version), which needs no MPI.
// UsageError for help on a command that does not exist.
struct Answer {
  std::string text;
  bool wanted = true;  // false: there were no words at all, which is a mistake
};
bool asks_about_itself(const std::vector<std::string>& words);
Answer answer_about_itself(const std::vector<std::string>& words);

}  // namespace bitmill

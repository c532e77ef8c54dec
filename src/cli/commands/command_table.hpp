#pragma once
// All commands.

#include <string>
#include <vector>

#include "cli/commands/command.hpp"

namespace bitmill {

// In the order in which a new user needs them.
const std::vector<CommandEntry>& command_table();
// UsageError names the nearest command, or all of them.
const CommandEntry& find_command(const std::string& name);

}  // namespace bitmill

#pragma once
// The texts of `bitmill help`.

#include <string>

#include "cli/commands/command.hpp"

namespace bitmill {

std::string help_overview();
std::string help_of(const CommandEntry& entry);
std::string version_text();

}  // namespace bitmill

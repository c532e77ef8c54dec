#pragma once
// Names that the next versions will have: of commands, options, recipes and backends. Who asks for
// one is told that it is not there yet, not that it was mistyped. A name leaves this list when it
// is there; tests/cli/options/not_yet_test.cpp fails where it does not.

#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

const std::vector<std::string>& commands_not_yet();
// Of one command, without dashes.
const std::vector<std::string>& options_not_yet(std::string_view command);
const std::vector<std::string>& recipes_not_yet();

bool is_command_not_yet(std::string_view name);
bool is_option_not_yet(std::string_view command, std::string_view name);
bool is_recipe_not_yet(std::string_view name);

}  // namespace bitmill

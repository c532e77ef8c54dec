#pragma once
// Options that several commands have.

#include <string>

#include "cli/options/option_list.hpp"

namespace bitmill {

Option config_option();
Option threads_option();
Option timeout_option();
Option json_option(const std::string& what);

}  // namespace bitmill

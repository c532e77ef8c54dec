#pragma once
// Options that several commands have.

#include <string>

#include "cli/options/option_list.hpp"

namespace bitmill {

Option config_option();
Option threads_option();
Option timeout_option();
Option json_option(const std::string& what);

// For every job that trains.
Option backend_option();
// UsageError for an unknown backend.
std::string read_backend(const Settings& settings, const std::string& normal);

}  // namespace bitmill

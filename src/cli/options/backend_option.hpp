#pragma once
// Who computes: an option of every job that trains.

#include <string>

#include "cli/options/option_list.hpp"

namespace bitmill {

Option backend_option();
// UsageError for a backend that is not there.
std::string read_backend(const Settings& settings, const std::string& normal);

}  // namespace bitmill

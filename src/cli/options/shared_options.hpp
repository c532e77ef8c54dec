#pragma once
// Options that several commands have.

#include <string>

#include "cli/options/option_list.hpp"
#include "model/config.hpp"

namespace bitmill {

Option config_option();
Option threads_option();
Option timeout_option();
Option json_option(const std::string& what);

// For every command that reads a model: --allow-key and --tensor-prefix.
Option allow_key_option();
Option tensor_prefix_option();
// UsageError for an empty name.
ModelReading read_model_reading(const Settings& settings);

// For every job that trains.
Option backend_option();
// UsageError for an unknown backend.
std::string read_backend(const Settings& settings, const std::string& normal);

}  // namespace bitmill

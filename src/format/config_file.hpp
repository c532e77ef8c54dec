#pragma once
// config.json of a model folder, as JSON. Only this function reads the file.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"

namespace bitmill {

// Returns a JSON object. FormatError when the file is missing, is no JSON object, is far larger
// than any real config.json, or has a key twice in one object.
nlohmann::json read_config_json(Files& files, const std::string& folder);

}  // namespace bitmill

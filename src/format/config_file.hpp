#pragma once
// config.json of a model folder, as JSON: the one place that reads the file.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"

namespace bitmill {

// An object. FormatError when the file is missing, larger than any config.json has a reason to be,
// or no JSON object; a key that occurs twice in one object is one of the reasons.
nlohmann::json read_config_json(Files& files, const std::string& folder);

}  // namespace bitmill

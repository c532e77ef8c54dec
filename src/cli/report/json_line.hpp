#pragma once
// One JSON object as a script reads it.

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace bitmill {

// On one line, ended by a newline. Paths may hold bytes that are not UTF-8: they become U+FFFD.
// Numbers that are not finite become null.
std::string json_line(const nlohmann::ordered_json& object);

}  // namespace bitmill

#pragma once
// A small JSON file that carries the hash of its content. No reader ever sees it half written.
// {"content": {...}, "hash": "<XXH3-128 of the content as nlohmann's dump() prints it>"}

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/files.hpp"

namespace bitmill {

// Writes the file as `beside`, syncs it, renames it to `path`, and syncs the folder.
void write_hashed_json(Files& files, const std::string& path, const std::string& beside,
                       const nlohmann::json& content);

// FormatError naming the file when it is damaged, FileError when it cannot be read.
nlohmann::json read_hashed_json(Files& files, const std::string& path);

}  // namespace bitmill

#pragma once
// Whether files and folders can come to be where a user wants them, found out before any work.
// Looks only; a disk may still refuse later.

#include <string>

#include "base/files.hpp"

namespace bitmill {

// Why the folder `path` cannot be made, or be written into where it exists: a file or a broken link
// in its way, no permission, a read-only file system, a name that is too long. A sentence that
// begins with `option`; empty when nothing is in the way.
std::string folder_problem(Files& files, const std::string& option, const std::string& path);

// The same for a folder that is made beside as path + ".partial" and renamed to `path`
// (format/partial_folder.hpp): what it needs lies in the folder around it, and it must not be a
// mount point.
std::string result_folder_problem(Files& files, const std::string& option, const std::string& path);

// The same for a file that is written beside as path + ".new" and renamed to `path`: its folder
// must exist.
std::string file_problem(Files& files, const std::string& option, const std::string& path);

// UsageError with the problem, unless it is empty.
void throw_place_problem(const std::string& problem);

}  // namespace bitmill

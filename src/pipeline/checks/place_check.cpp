#include "pipeline/checks/place_check.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <string_view>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr size_t longest_name = 255;  // bytes, on every file system of Linux in use

// A link on the way to `path` that leads nowhere; empty when there is none. Nothing can be made of
// such a name, and mkdir() would say that it exists already.
std::string broken_link_on(Files& files, const std::string& path) {
  for (std::string at = path; !files.exists(at); at = parent_path(at)) {
    if (files.is_broken_link(at)) return at;
    if (at == parent_path(at)) break;
  }
  return "";
}

std::string name_problem(const std::string& option, const std::string& path,
                         std::string_view ending) {
  const size_t length = file_name(path).size() + ending.size();
  if (length <= longest_name) return "";
  return fmt::format(
      "{} {}: the name is too long: {} bytes with \"{}\", under which it is made, "
      "and {} are allowed; give a shorter one",
      option, path, length, ending, longest_name);
}

std::string link_problem(Files& files, const std::string& option, const std::string& path) {
  const std::string link = broken_link_on(files, path);
  if (link.empty()) return "";
  return fmt::format(
      "{} {}: {} is a link to something that does not exist; remove the link, make "
      "what it leads to, or give another path",
      option, path, link);
}

// Of the folder in which something will be made.
std::string writing_problem(Files& files, const std::string& option, const std::string& folder) {
  if (!files.is_directory(folder)) {
    return fmt::format("{}: {} is a file and no folder; give another folder", option, folder);
  }
  if (!files.is_writable(folder)) {
    return fmt::format(
        "{}: nothing can be written to {}; check its permissions, and whether its "
        "disk is mounted read-only, or give another folder",
        option, folder);
  }
  return "";
}

}  // namespace

std::string folder_problem(Files& files, const std::string& option, const std::string& path) {
  for (const std::string& problem :
       {name_problem(option, path, ""), link_problem(files, option, path)}) {
    if (!problem.empty()) return problem;
  }
  return writing_problem(files, option, nearest_existing(files, files.resolve(path)));
}

std::string result_folder_problem(Files& files, const std::string& option,
                                  const std::string& path) {
  for (const std::string& problem :
       {name_problem(option, path, ".partial"), link_problem(files, option, path)}) {
    if (!problem.empty()) return problem;
  }
  const std::string real = files.resolve(path);
  const std::string around = parent_path(real);
  if (files.exists(real) && files.file_system(real) != files.file_system(around)) {
    return fmt::format(
        "{} {} is a mount point, which the finished result cannot replace; give a "
        "new folder in it, such as {}",
        option, path, join_path(path, "result"));
  }
  return writing_problem(files, option, nearest_existing(files, around));
}

std::string file_problem(Files& files, const std::string& option, const std::string& path) {
  const std::string folder = parent_path(path);
  if (!files.is_directory(folder)) {
    return fmt::format("{} {}: there is no folder {}; make it, or give another path", option, path,
                       folder);
  }
  constexpr std::string_view beside = ".new";
  for (const std::string& name : {path, path + std::string(beside)}) {
    if (!files.is_directory(name)) continue;
    return fmt::format("{} {}: {} is a folder; give the name of a file", option, path, name);
  }
  const std::string problem = name_problem(option, path, beside);
  return problem.empty() ? writing_problem(files, option, folder) : problem;
}

void throw_place_problem(const std::string& problem) {
  BITMILL_CHECK(problem.empty(), UsageError, problem);
}

}  // namespace bitmill

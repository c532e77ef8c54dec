#include "format/partial_folder.hpp"

#include <fmt/format.h>

#include <exception>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr const char* mark = ".bitmill-unfinished";

void check_is_free(Files& files, const std::string& target) {
  BITMILL_CHECK(
      !files.exists(target) || (files.is_directory(target) && files.list(target).empty()),
      UsageError,
      fmt::format("{} exists and is not an empty folder; choose another one or remove it", target));
}

}  // namespace

std::string partial_path(Files& files, const std::string& target) {
  return files.resolve(target) + ".partial";
}

void check_partial_place(Files& files, const std::string& target) {
  check_is_free(files, target);
  const std::string path = partial_path(files, target);
  const bool ours =
      !files.exists(path) || (files.is_directory(path) &&
                              (files.list(path).empty() || files.exists(join_path(path, mark))));
  BITMILL_CHECK(ours, UsageError,
                fmt::format("{} is needed to write {}, and holds files that bitmill did not write; "
                            "move it, or choose another output folder",
                            path, target));
}

PartialFolder::PartialFolder(Files& files, const std::string& target)
    : files_(files), target_(files.resolve(target)), path_(partial_path(files, target)) {
  check_partial_place(files_, target_);
  if (files_.exists(path_)) remove_ours();
  files_.make_directories(path_);
  try {
    files_.create(join_path(path_, mark))->close();
  } catch (...) {
    discard();
    throw;
  }
}

PartialFolder::~PartialFolder() {
  if (!committed_) discard();
}

void PartialFolder::commit() {
  check_is_free(files_, target_);
  files_.sync_directory(path_);
  // rename(2) replaces an empty folder, and refuses a folder with files. The mark is removed after
  // the rename: if it were removed before, and the job killed between, nobody could tell that the
  // folder is ours.
  files_.rename(path_, target_);
  committed_ = true;
  files_.remove(join_path(target_, mark));
  files_.sync_directory(parent_path(target_));
}

// Ignores errors: it runs while another error is thrown, and that one must be reported.
void PartialFolder::discard() noexcept {
  try {
    remove_ours();
  } catch (const std::exception&) {
  }
}

// Removes the mark last: if the job is killed before, the folder is still recognized as ours.
void PartialFolder::remove_ours() {
  for (const std::string& name : files_.list(path_)) {
    if (name != mark) files_.remove_tree(join_path(path_, name));
  }
  files_.remove_tree(path_);
}

}  // namespace bitmill

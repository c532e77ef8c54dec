#pragma once
// A folder that is there whole or not at all: filled under another name beside its place, then
// renamed.

#include <string>

#include "base/files.hpp"

namespace bitmill {

// Where a folder that will be `target` is filled: `target`, resolved, with ".partial" added.
std::string partial_path(Files& files, const std::string& target);

// UsageError when `target` is neither missing nor an empty folder, or when something else than what
// a killed job left stands at its partial path. Touches nothing.
void check_partial_place(Files& files, const std::string& target);

class PartialFolder {
 public:
  // Makes the folder path(), after check_partial_place(). A file in it marks it as ours until
  // commit(); what a killed job left there is known by that mark, and removed.
  PartialFolder(Files& files, const std::string& target);
  // Removes the folder unless it was committed. A failure to do so is not reported: an error that
  // is worth more is on its way up.
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::string& path() const { return path_; }

  // On return `target` is this folder, and survives a crash. REQUIRES: the files in it are synced.
  // UsageError or FileError when something has been put into `target` meanwhile: that stays.
  void commit();

 private:
  void remove_ours();
  void discard() noexcept;

  Files& files_;
  const std::string target_;
  const std::string path_;
  bool committed_ = false;
};

}  // namespace bitmill

#pragma once
// A folder that appears complete or not at all: it is filled under another name in the same parent
// folder, then renamed.

#include <string>

#include "base/files.hpp"

namespace bitmill {

// The name under which the folder `target` is filled: the resolved `target` with ".partial" added.
std::string partial_path(Files& files, const std::string& target);

// UsageError when `target` exists and is not an empty folder, or when the partial path holds
// anything but the folder that a killed job left. Changes nothing.
void check_partial_place(Files& files, const std::string& target);

class PartialFolder {
 public:
  // Makes the folder path(), after check_partial_place(). A file in it marks it as ours until
  // commit(). By this mark the folder of a killed job is recognized, and removed.
  PartialFolder(Files& files, const std::string& target);
  // Removes the folder unless it was committed. Does not report a failure to remove it: in that
  // case an error that matters more is thrown already.
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::string& path() const { return path_; }

  // On return `target` is this folder, and survives a crash. REQUIRES: the files in it are synced.
  // UsageError or FileError when somebody has put files into `target` meanwhile; these stay there.
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

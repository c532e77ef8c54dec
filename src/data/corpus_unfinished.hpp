#pragma once
// A file of a corpus' index while it is written.

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/files.hpp"

namespace bitmill {

// How the names of unfinished files of this host begin, of which `path` is the final name. Every
// process adds its own number, so that several may write in one folder.
std::string unfinished_begin(const std::string& path);

// A file that gets its name when it is whole. Until then it lies beside. It is removed when it is
// not finished. FileError with the folder, the room there, and what to do.
class UnfinishedFile {
 public:
  UnfinishedFile(Files& files, const std::string& path);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  void append(std::span<const std::byte> bytes);
  void finish();

 private:
  template <class Action>
  void attempt(const Action& action);
  std::string free_words() const;

  Files& files_;
  const std::string path_, beside_;
  std::unique_ptr<OutputFile> file_;
  bool is_whole_ = false;
};

}  // namespace bitmill

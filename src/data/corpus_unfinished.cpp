#include "data/corpus_unfinished.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/host_name.hpp"

namespace bitmill {

std::string unfinished_begin(const std::string& path) { return path + ".new-" + host_name() + "-"; }

template <class Action>
void UnfinishedFile::attempt(const Action& action) {
  try {
    action();
  } catch (const FileError& error) {
    throw FileError(fmt::format(
        "{}; the corpus is unpacked and indexed in {}, which has {} free: make room, or give "
        "another --scratch-dir",
        error.what(), parent_path(path_), free_words()));
  }
}

std::string UnfinishedFile::free_words() const {
  try {
    return format_bytes(files_.free_bytes(parent_path(path_)));
  } catch (const Error&) {
    return "an unknown number of bytes";
  }
}

UnfinishedFile::UnfinishedFile(Files& files, const std::string& path)
    : files_(files), path_(path), beside_(unfinished_begin(path) + std::to_string(::getpid())) {
  attempt([&] { file_ = files_.create(beside_); });
}

UnfinishedFile::~UnfinishedFile() {
  if (is_whole_) return;
  try {
    file_.reset();
    files_.remove(beside_);
  } catch (const Error&) {  // there is nothing, or no way to it: the first error says more
  }
}

void UnfinishedFile::append(std::span<const std::byte> bytes) {
  attempt([&] { file_->append(bytes); });
}

void UnfinishedFile::finish() {
  attempt([&] {
    file_->sync();
    file_->close();
    files_.rename(beside_, path_);
    is_whole_ = true;
    files_.sync_directory(parent_path(path_));
  });
}

}  // namespace bitmill

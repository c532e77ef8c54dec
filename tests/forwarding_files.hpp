#pragma once
// A file system that passes every call on to the real one. Tests override the calls that must fail.

#include <memory>
#include <string>
#include <vector>

#include "base/files.hpp"

namespace bitmill {

class ForwardingFiles : public Files {
 public:
  std::unique_ptr<InputFile> open(const std::string& path) override { return real_->open(path); }
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    return real_->create(path);
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    return real_->open_append(path);
  }
  bool exists(const std::string& path) override { return real_->exists(path); }
  bool is_directory(const std::string& path) override { return real_->is_directory(path); }
  bool is_broken_link(const std::string& path) override { return real_->is_broken_link(path); }
  void make_directories(const std::string& path) override { real_->make_directories(path); }
  bool make_directory(const std::string& path) override { return real_->make_directory(path); }
  void rename(const std::string& from, const std::string& to) override { real_->rename(from, to); }
  void remove(const std::string& path) override { real_->remove(path); }
  void remove_tree(const std::string& path) override { real_->remove_tree(path); }
  void sync_directory(const std::string& path) override { real_->sync_directory(path); }
  std::vector<std::string> list(const std::string& path) override { return real_->list(path); }
  int64_t free_bytes(const std::string& path) override { return real_->free_bytes(path); }
  bool is_writable(const std::string& path) override { return real_->is_writable(path); }
  uint64_t file_system(const std::string& path) override { return real_->file_system(path); }
  std::string resolve(const std::string& path) override { return real_->resolve(path); }

 private:
  const std::unique_ptr<Files> real_ = posix_files();
};

}  // namespace bitmill

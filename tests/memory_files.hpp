#pragma once
// A file system in memory, for fuzzers, and for tests that cut a file or flip its bits a thousand
// times. It has no links, no permissions, and one device. An operation fails only when it would
// also fail on a disk that works.

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"

namespace bitmill {

class MemoryFiles final : public Files {
 public:
  // For tests: puts a file there with this content, and makes its folders.
  void put(const std::string& path, std::string content) {
    make_directories(parent_path(path));
    contents_[path] = std::make_shared<std::string>(std::move(content));
  }
  const std::string& get(const std::string& path) const { return *find(path); }

  std::unique_ptr<InputFile> open(const std::string& path) override {
    return std::make_unique<Input>(path, find(path));
  }
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    put(path, "");
    return std::make_unique<Output>(path, find(path));
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    if (!contents_.contains(path)) put(path, "");
    return std::make_unique<Output>(path, find(path));
  }
  bool exists(const std::string& path) override {
    return contents_.contains(path) || folders_.contains(path);
  }
  bool is_directory(const std::string& path) override { return folders_.contains(path); }
  bool is_broken_link(const std::string&) override { return false; }
  void make_directories(const std::string& path) override {
    for (std::string folder = path; folders_.insert(folder).second;) folder = parent_path(folder);
  }
  bool make_directory(const std::string& path) override {
    return !contents_.contains(path) && folders_.insert(path).second;
  }
  void rename(const std::string& from, const std::string& to) override {
    check(exists(from), "rename", from);
    const auto moved = [&](const std::string& path) { return to + path.substr(from.size()); };
    std::map<std::string, Content> contents;
    for (auto& [path, content] : contents_) {
      if (path != to) contents[lies_in(path, from) ? moved(path) : path] = content;
    }
    if (contents_.contains(from)) contents[to] = find(from);
    std::set<std::string> folders;
    for (const auto& path : folders_) folders.insert(lies_in(path, from) ? moved(path) : path);
    contents_ = std::move(contents);
    folders_ = std::move(folders);
  }
  void remove(const std::string& path) override {
    check(contents_.erase(path) == 1, "remove", path);
  }
  void remove_tree(const std::string& path) override {
    std::erase_if(contents_, [&](const auto& file) { return lies_in(file.first, path); });
    std::erase_if(folders_, [&](const auto& folder) { return lies_in(folder, path); });
  }
  void sync_directory(const std::string& path) override {
    check(folders_.contains(path), "sync the folder", path);
  }
  std::vector<std::string> list(const std::string& folder) override {
    const std::string path = folder.ends_with('/') ? parent_path(folder) : folder;
    check(folders_.contains(path), "list the folder", path);
    std::set<std::string> names;
    const auto add = [&](const std::string& entry) {
      if (entry != path && parent_path(entry) == path) names.insert(file_name(entry));
    };
    for (const auto& [file, content] : contents_) add(file);
    for (const std::string& inner : folders_) add(inner);
    return {names.begin(), names.end()};
  }
  int64_t free_bytes(const std::string&) override { return std::numeric_limits<int64_t>::max(); }
  bool is_writable(const std::string& path) override { return folders_.contains(path); }
  uint64_t file_system(const std::string&) override { return 1; }
  std::string resolve(const std::string& path) override { return path; }

 private:
  using Content = std::shared_ptr<std::string>;

  static void check(bool fine, const char* operation, const std::string& path) {
    if (!fine) throw FileError(std::string("cannot ") + operation + " " + path);
  }
  static void read(const std::string& path, const std::string& content, int64_t offset,
                   std::span<std::byte> into) {
    const auto size = std::ssize(content);
    check(offset >= 0 && offset <= size && std::ssize(into) <= size - offset, "read", path);
    if (!into.empty()) std::memcpy(into.data(), content.data() + offset, into.size());
  }
  const Content& find(const std::string& path) const {
    const auto found = contents_.find(path);
    check(found != contents_.end(), "open", path);
    return found->second;
  }

  class Input final : public InputFile {
   public:
    Input(std::string path, Content content)
        : path_(std::move(path)), content_(std::move(content)) {}
    const std::string& path() const override { return path_; }
    int64_t size() const override { return std::ssize(*content_); }
    void read(int64_t offset, std::span<std::byte> into) const override {
      MemoryFiles::read(path_, *content_, offset, into);
    }

   private:
    const std::string path_;
    const Content content_;
  };

  class Output final : public OutputFile {
   public:
    Output(std::string path, Content content)
        : path_(std::move(path)), content_(std::move(content)) {}
    const std::string& path() const override { return path_; }
    void append(std::span<const std::byte> data) override { write(std::ssize(*content_), data); }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      const size_t end = static_cast<size_t>(offset) + data.size();
      if (content_->size() < end) content_->resize(end);
      if (!data.empty()) std::memcpy(content_->data() + offset, data.data(), data.size());
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      MemoryFiles::read(path_, *content_, offset, into);
    }
    void sync() override {}
    void close() override {}

   private:
    const std::string path_;
    const Content content_;
  };

  std::map<std::string, Content> contents_;
  std::set<std::string> folders_ = {"/", "."};
};

}  // namespace bitmill

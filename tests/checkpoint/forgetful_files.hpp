#pragma once
// A disk that loses at a power cut what was not synced. The operations fail from number
// `first_failure` on, as in FailingFiles. Then lose_power() undoes what a file system may lose: the
// bytes of a file since its last sync; renames, new names and removals in a folder since its last
// sync_directory(). Made folders and removed trees stay as they are.

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/failing_files.hpp"

namespace bitmill {

class ForgetfulFiles final : public FailingFiles {
 public:
  // `shelf`: an existing folder on the same file system, which keeps files that are replaced or
  // removed.
  ForgetfulFiles(int first_failure, std::string shelf)
      : FailingFiles(first_failure), shelf_(std::move(shelf)) {}

  void lose_power() {
    while (!changes_.empty()) {
      const Change last = changes_.back();
      changes_.pop_back();
      if (last.from.empty()) {
        std::filesystem::remove(last.to);
      } else if (!last.to.empty()) {
        std::filesystem::rename(last.to, last.from);
        move_names(last.to, last.from);
      }
      const std::string& name = last.to.empty() ? last.from : last.to;
      if (!last.kept.empty()) std::filesystem::rename(last.kept, name);
    }
    for (const auto& [path, size] : synced_size_) {
      if (std::filesystem::exists(path)) {
        std::filesystem::resize_file(path, static_cast<uintmax_t>(size));
      }
    }
  }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    const bool is_new = !exists(path);
    return opened(path, FailingFiles::create(path), is_new, /*size=*/0);
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    const bool is_new = !exists(path);
    const int64_t size = is_new ? 0 : ForwardingFiles::open(path)->size();
    return opened(path, FailingFiles::open_append(path), is_new, size);
  }
  void rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    std::string kept = keep(to);
    FailingFiles::rename(from, to);
    move_names(from, to);
    changes_.push_back({from, to, std::move(kept)});
  }
  void remove(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    std::string kept = keep(path);
    FailingFiles::remove(path);
    changes_.push_back({path, "", std::move(kept)});
  }
  void remove_tree(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    FailingFiles::remove_tree(path);
    std::erase_if(changes_, [&](const Change& c) { return lies_in(c.name(), path); });
    std::erase_if(synced_size_, [&](const auto& entry) { return lies_in(entry.first, path); });
  }
  void sync_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    FailingFiles::sync_directory(path);
    std::erase_if(changes_, [&](const Change& c) { return parent_path(c.name()) == path; });
  }

 private:
  // `from` empty: a new name. `to` empty: a removal. `kept`: path on the shelf of the former file.
  struct Change {
    std::string from, to, kept;
    const std::string& name() const { return to.empty() ? from : to; }
  };

  class Output final : public OutputFile {
   public:
    Output(ForgetfulFiles& files, std::unique_ptr<OutputFile> real)
        : files_(files), real_(std::move(real)) {}
    const std::string& path() const override { return real_->path(); }
    void append(std::span<const std::byte> data) override {
      const std::lock_guard lock(files_.mutex_);
      files_.note_write(path());
      real_->append(data);
    }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      const std::lock_guard lock(files_.mutex_);
      files_.note_write(path());
      real_->write(offset, data);
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      real_->read(offset, into);
    }
    void sync() override {
      const std::lock_guard lock(files_.mutex_);
      real_->sync();
      files_.synced_size_.erase(path());
    }
    void close() override { real_->close(); }

   private:
    ForgetfulFiles& files_;
    std::unique_ptr<OutputFile> real_;
  };

  // `size`: bytes of the file that are left when it is never synced.
  std::unique_ptr<OutputFile> opened(const std::string& path, std::unique_ptr<OutputFile> real,
                                     bool is_new, int64_t size) {
    if (is_new) changes_.push_back({"", path, ""});
    synced_size_.try_emplace(path, size);
    return std::make_unique<Output>(*this, std::move(real));
  }
  void note_write(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (!exists(path)) return;  // unlinked: a power cut leaves nothing of it in any case
    synced_size_.try_emplace(path, ForwardingFiles::open(path)->size());
  }

  std::string keep(const std::string& path) {
    if (!exists(path) || is_directory(path)) return "";
    std::string kept = shelf_ + "/" + std::to_string(kept_++);
    std::filesystem::create_hard_link(path, kept);
    return kept;
  }

  void move_names(const std::string& from, const std::string& to) {
    const auto moved = [&](const std::string& path) {
      return lies_in(path, from) ? to + path.substr(from.size()) : path;
    };
    for (Change& change : changes_) {
      change.from = moved(change.from);
      change.to = moved(change.to);
    }
    std::map<std::string, int64_t> sizes;
    for (const auto& [path, size] : synced_size_) {
      if (path != to) sizes[moved(path)] = size;
    }
    synced_size_ = std::move(sizes);
  }

  std::recursive_mutex mutex_;  // a run writes with more than one thread
  const std::string shelf_;
  int kept_ = 0;
  std::vector<Change> changes_;                 // in the order they were made
  std::map<std::string, int64_t> synced_size_;  // of files with bytes that were not synced
};

}  // namespace bitmill

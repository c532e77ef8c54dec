#pragma once
// A file system that fails in the middle of a run. It counts the operations that change something.
// From number `first_failure` on each of them fails without doing anything, as if the process had
// been killed there. Reads still work. Several threads may use it.

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "forwarding_files.hpp"

namespace bitmill {

class FailingFiles : public ForwardingFiles {
 public:
  // for_good: all later operations fail, too; otherwise only that one.
  explicit FailingFiles(int first_failure, bool for_good = true)
      : for_good_(for_good), left_(first_failure) {}

  // Whether any operation was refused.
  bool failed() const {
    const std::lock_guard lock(mutex_);
    return left_ < 0;
  }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    spend(path);
    return std::make_unique<Output>(*this, ForwardingFiles::create(path));
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    spend(path);
    return std::make_unique<Output>(*this, ForwardingFiles::open_append(path));
  }
  void make_directories(const std::string& path) override {
    spend(path);
    ForwardingFiles::make_directories(path);
  }
  bool make_directory(const std::string& path) override {
    spend(path);
    return ForwardingFiles::make_directory(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    spend(from);
    ForwardingFiles::rename(from, to);
  }
  void remove(const std::string& path) override {
    spend(path);
    ForwardingFiles::remove(path);
  }
  void remove_tree(const std::string& path) override {
    spend(path);
    ForwardingFiles::remove_tree(path);
  }
  void sync_directory(const std::string& path) override {
    spend(path);
    ForwardingFiles::sync_directory(path);
  }

 private:
  class Output final : public OutputFile {
   public:
    Output(FailingFiles& files, std::unique_ptr<OutputFile> real)
        : files_(files), real_(std::move(real)) {}
    const std::string& path() const override { return real_->path(); }
    void append(std::span<const std::byte> data) override {
      files_.spend(path());
      real_->append(data);
    }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      files_.spend(path());
      real_->write(offset, data);
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      real_->read(offset, into);
    }
    void sync() override {
      files_.spend(path());
      real_->sync();
    }
    void close() override {
      files_.spend(path());
      real_->close();
    }

   private:
    FailingFiles& files_;
    std::unique_ptr<OutputFile> real_;
  };

  void spend(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (left_ > 0) {
      --left_;
      return;
    }
    if (left_ < 0 && !for_good_) return;
    left_ = -1;
    throw FileError("made to fail at " + path);
  }

  const bool for_good_;
  mutable std::mutex mutex_;  // a run writes with more than one thread
  int left_;                  // operations before the first failure; -1 after it
};

}  // namespace bitmill

#pragma once
// The real file system, but the n-th operation that changes something fails.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "forwarding_files.hpp"

namespace bitmill {

// Counts create, append, write, sync, close, rename, make_directories and sync_directory. Removals
// always work: a program cannot clean up on a disk that refuses to remove files.
class FailingFiles final : public ForwardingFiles {
 public:
  // fail_at counts from 0; with a negative number nothing fails. only: count just the operation of
  // this name; empty: count all.
  explicit FailingFiles(int fail_at, std::string only = "")
      : fail_at_(fail_at), only_(std::move(only)) {}

  bool failed() const { return count_ > fail_at_ && fail_at_ >= 0; }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    step("create", path);
    return std::make_unique<Output>(*this, ForwardingFiles::create(path));
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    step("create", path);
    return std::make_unique<Output>(*this, ForwardingFiles::open_append(path));
  }
  void make_directories(const std::string& path) override {
    step("make_directories", path);
    ForwardingFiles::make_directories(path);
  }
  void rename(const std::string& from, const std::string& to) override {
    step("rename", from);
    ForwardingFiles::rename(from, to);
  }
  void sync_directory(const std::string& path) override {
    step("sync_directory", path);
    ForwardingFiles::sync_directory(path);
  }

 private:
  class Output final : public OutputFile {
   public:
    Output(FailingFiles& files, std::unique_ptr<OutputFile> real)
        : files_(files), real_(std::move(real)) {}
    const std::string& path() const override { return real_->path(); }
    void append(std::span<const std::byte> data) override {
      files_.step("append", path());
      real_->append(data);
    }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      files_.step("write", path());
      real_->write(offset, data);
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      real_->read(offset, into);
    }
    void sync() override {
      files_.step("sync", path());
      real_->sync();
    }
    void close() override {
      files_.step("close", path());
      real_->close();
    }

   private:
    FailingFiles& files_;
    std::unique_ptr<OutputFile> real_;
  };

  void step(const std::string& operation, const std::string& path) {
    if (!only_.empty() && operation != only_) return;
    if (count_++ == fail_at_) throw FileError("injected: cannot " + operation + " " + path);
  }

  const int fail_at_;
  const std::string only_;
  int count_ = 0;
};

}  // namespace bitmill

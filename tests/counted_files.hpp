#pragma once
// The real file system. It counts the bytes that are read from files opened for reading.

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "forwarding_files.hpp"

namespace bitmill {

class CountedFiles final : public ForwardingFiles {
 public:
  // How many bytes of [first, first + bytes) of the file were read so far. A byte that was read
  // twice counts twice.
  int64_t read_of(const std::string& path, int64_t first, int64_t bytes) const {
    const std::lock_guard lock(mutex_);
    const auto found = reads_.find(path);
    if (found == reads_.end()) return 0;
    int64_t sum = 0;
    for (const auto& [offset, length] : found->second) {
      const int64_t end = std::min(offset + length, first + bytes);
      sum += std::max<int64_t>(0, end - std::max(offset, first));
    }
    return sum;
  }
  int64_t read_of(const std::string& path) const { return read_of(path, 0, INT64_MAX); }

  std::unique_ptr<InputFile> open(const std::string& path) override {
    return std::make_unique<Input>(*this, ForwardingFiles::open(path));
  }

 private:
  class Input final : public InputFile {
   public:
    Input(CountedFiles& files, std::unique_ptr<InputFile> real)
        : files_(files), real_(std::move(real)) {}
    const std::string& path() const override { return real_->path(); }
    int64_t size() const override { return real_->size(); }
    void read(int64_t offset, std::span<std::byte> into) const override {
      real_->read(offset, into);
      const std::lock_guard lock(files_.mutex_);
      files_.reads_[path()].emplace_back(offset, std::ssize(into));
    }

   private:
    CountedFiles& files_;
    const std::unique_ptr<InputFile> real_;
  };

  mutable std::mutex mutex_;
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> reads_;  // offset, bytes
};

}  // namespace bitmill

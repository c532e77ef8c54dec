#pragma once
// The real file system. It notes, in order, what is done with the content of the files that it
// makes. Only one thread at a time may use these files.

#include <fmt/format.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "forwarding_files.hpp"

namespace bitmill {

class NotedFiles final : public ForwardingFiles {
 public:
  struct Note {
    std::string what;  // write, write out, ask, read
    int64_t offset;
    int64_t bytes;
  };

  // Notes only files that have `part` in their path.
  explicit NotedFiles(std::string part) : part_(std::move(part)) {}

  const std::vector<Note>& notes() const { return notes_; }
  // The notes as texts such as "write 60+20": offset and length.
  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (const Note& note : notes_) {
      all.push_back(fmt::format("{} {}+{}", note.what, note.offset, note.bytes));
    }
    return all;
  }

  std::unique_ptr<OutputFile> create(const std::string& path) override {
    auto real = ForwardingFiles::create(path);
    if (path.find(part_) == std::string::npos) return real;
    return std::make_unique<Output>(notes_, std::move(real));
  }

 private:
  class Output final : public OutputFile {
   public:
    Output(std::vector<Note>& notes, std::unique_ptr<OutputFile> real)
        : notes_(notes), real_(std::move(real)) {}
    const std::string& path() const override { return real_->path(); }
    void append(std::span<const std::byte> data) override { real_->append(data); }
    void write(int64_t offset, std::span<const std::byte> data) const override {
      notes_.push_back({"write", offset, std::ssize(data)});
      real_->write(offset, data);
    }
    void read(int64_t offset, std::span<std::byte> into) const override {
      notes_.push_back({"read", offset, std::ssize(into)});
      real_->read(offset, into);
    }
    void begin_write_out(int64_t offset, int64_t bytes) const override {
      notes_.push_back({"write out", offset, bytes});
      real_->begin_write_out(offset, bytes);
    }
    void begin_read(int64_t offset, int64_t bytes) const override {
      notes_.push_back({"ask", offset, bytes});
      real_->begin_read(offset, bytes);
    }
    void sync() override { real_->sync(); }
    void close() override { real_->close(); }

   private:
    std::vector<Note>& notes_;
    const std::unique_ptr<OutputFile> real_;
  };

  const std::string part_;
  std::vector<Note> notes_;
};

}  // namespace bitmill

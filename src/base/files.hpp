#pragma once
// The one door to the file system. Everything that reads or writes a file takes a Files&, so that a
// test can make any single operation fail or stop short.
//
// Calls throw FileError with operation, path and the system's words. Offsets and sizes are bytes.
// Const methods may be used from several threads. Only regular files open: no pipe is waited for.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace bitmill {

class InputFile {
 public:
  virtual ~InputFile() = default;
  virtual const std::string& path() const = 0;
  virtual int64_t size() const = 0;
  // Fills all of `into` from `offset`, or throws: a file that ends early is an error.
  virtual void read(int64_t offset, std::span<std::byte> into) const = 0;
};

// A new file, or one opened for update. Closing in the destructor ignores errors: call close().
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual const std::string& path() const = 0;
  virtual void append(std::span<const std::byte> data) = 0;  // at the end of what was appended
  virtual void write(int64_t offset, std::span<const std::byte> data) const = 0;
  virtual void read(int64_t offset, std::span<std::byte> into) const = 0;
  // For what does not fit in memory: what was written sets out for the disk, or what is to be read
  // soon sets out from there, while the caller goes on. Content stays as it is. Where a system does
  // not know how, nothing happens; the first throws when the disk refuses.
  virtual void begin_write_out(int64_t /*offset*/, int64_t /*bytes*/) const {}
  virtual void begin_read(int64_t /*offset*/, int64_t /*bytes*/) const {}
  virtual void sync() = 0;   // to stable storage
  virtual void close() = 0;  // throws what close(2) reports; no other call may follow
};

class Files {
 public:
  virtual ~Files() = default;

  virtual std::unique_ptr<InputFile> open(const std::string& path) = 0;
  // Truncates an existing file.
  virtual std::unique_ptr<OutputFile> create(const std::string& path) = 0;
  // Creates the file when it is missing; every write goes to the end it has at that moment.
  virtual std::unique_ptr<OutputFile> open_append(const std::string& path) = 0;

  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;  // follows links
  virtual void make_directories(const std::string& path) = 0;
  // False when something of that name exists; of several makers one gets true. The parent exists.
  virtual bool make_directory(const std::string& path) = 0;
  // Replaces a file. A folder takes the place of nothing or of an empty folder only.
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void remove(const std::string& path) = 0;       // a file
  virtual void remove_tree(const std::string& path) = 0;  // nothing there is not an error
  virtual void sync_directory(const std::string& path) = 0;
  virtual std::vector<std::string> list(const std::string& path) = 0;  // names, sorted
  virtual int64_t free_bytes(const std::string& path) = 0;             // for us, where `path` lives
  // Whether files may be made in the folder `path`, as far as can be told without making one.
  virtual bool is_writable(const std::string& path) = 0;
  // Equal for two existing paths on one file system. Means nothing else.
  virtual uint64_t file_system(const std::string& path) = 0;
  // Absolute, without links, "." and ".."; what does not exist is kept as it is written.
  virtual std::string resolve(const std::string& path) = 0;
};

std::unique_ptr<Files> posix_files();

// Reads and writes that this process has finished so far: only tells that work goes on.
uint64_t file_transfers();

// The whole file. Throws FileError when it is larger than `limit` bytes.
std::string read_text(Files& files, const std::string& path, int64_t limit = int64_t{1} << 34);

// Beside (path + ".new"), sync, rename, sync the folder: a reader sees the old or the new content.
void replace_file(Files& files, const std::string& path, std::string_view content);

std::string join_path(std::string_view folder, std::string_view name);
std::string parent_path(const std::string& path);  // "." for a bare name
std::string file_name(const std::string& path);
// Whether `path` is `folder` or below it, going by the names alone: resolve() both where it
// matters.
bool lies_in(const std::string& path, const std::string& folder);
// `path`, or the nearest folder above it that exists.
std::string nearest_existing(Files& files, const std::string& path);

}  // namespace bitmill

#pragma once
// The only way to the file system. Everything that reads or writes a file takes a Files&, so that a
// test can make any single operation fail, or do only a part of its work.
//
// Calls throw FileError with operation, path and the system's words. Offsets and sizes are bytes.
// Const methods may be used from several threads. open() refuses everything but regular files, and
// so never waits for the writer of a pipe.

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

// A new file, or one opened for update. The destructor closes it but ignores errors: call close().
class OutputFile {
 public:
  virtual ~OutputFile() = default;
  virtual const std::string& path() const = 0;
  virtual void append(std::span<const std::byte> data) = 0;  // after what was appended before
  virtual void write(int64_t offset, std::span<const std::byte> data) const = 0;
  virtual void read(int64_t offset, std::span<std::byte> into) const = 0;
  // For data that does not fit in memory. begin_write_out() starts to move written bytes to the
  // disk; begin_read() starts to fetch bytes that will be read soon. Neither waits for the disk,
  // and neither changes the content. Where the system does not support it, nothing happens.
  // begin_write_out() throws when the disk refuses.
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
  // Creates the file when it is missing. Every write goes to the end of the file at that moment.
  virtual std::unique_ptr<OutputFile> open_append(const std::string& path) = 0;

  virtual bool exists(const std::string& path) = 0;
  virtual bool is_directory(const std::string& path) = 0;  // follows links
  // Whether `path` itself is a link to something that does not exist: exists() is false for it, and
  // nothing of that name can be made either.
  virtual bool is_broken_link(const std::string& path) = 0;
  virtual void make_directories(const std::string& path) = 0;
  // False when something of that name exists. When several callers try at once, exactly one gets
  // true. REQUIRES: the parent exists.
  virtual bool make_directory(const std::string& path) = 0;
  // A file may replace a file. A folder may replace only an empty folder, or nothing.
  virtual void rename(const std::string& from, const std::string& to) = 0;
  virtual void remove(const std::string& path) = 0;       // a file
  virtual void remove_tree(const std::string& path) = 0;  // no error when nothing is there
  virtual void sync_directory(const std::string& path) = 0;
  virtual std::vector<std::string> list(const std::string& path) = 0;  // names, sorted
  virtual int64_t free_bytes(const std::string& path) = 0;  // that we may use, on its file system
  // Whether we may make files in the folder `path`, as far as one can tell without making one.
  virtual bool is_writable(const std::string& path) = 0;
  // A number that is equal for two existing paths on one file system. It means nothing else.
  virtual uint64_t file_system(const std::string& path) = 0;
  // The absolute path, without links, "." and "..". A part that does not exist stays as written.
  virtual std::string resolve(const std::string& path) = 0;
};

std::unique_ptr<Files> posix_files();

// Number of reads and writes that this process has finished. It only shows that work goes on.
uint64_t file_transfers();

// The whole file. Throws FileError when it is larger than `limit` bytes.
std::string read_text(Files& files, const std::string& path, int64_t limit = int64_t{1} << 34);

// Writes to path + ".new", syncs, renames, and syncs the folder: a reader sees either the old or
// the new content.
void replace_file(Files& files, const std::string& path, std::string_view content);

std::string join_path(std::string_view folder, std::string_view name);
std::string parent_path(const std::string& path);  // "." for a bare name
std::string file_name(const std::string& path);
// Whether `path` is `folder` or lies below it. Compares the names only: call resolve() on both
// first where links may matter.
bool lies_in(const std::string& path, const std::string& folder);
// `path`, or the nearest folder above it that exists.
std::string nearest_existing(Files& files, const std::string& path);

}  // namespace bitmill

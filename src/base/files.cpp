#include "base/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "base/pieces.hpp"
#include "base/quiet_transfers.hpp"

namespace bitmill {
namespace {

namespace fs = std::filesystem;

struct DescriptorTraits {
  using Type = int;
  static constexpr int null() { return -1; }
  static void destroy(int descriptor) noexcept { ::close(descriptor); }
};
using Descriptor = UniqueHandle<DescriptorTraits>;

[[noreturn]] void fail(std::string_view operation, const std::string& path, int code) {
  std::string hint;
  if (code == ENOSPC || code == EDQUOT) hint = "; free some space or choose another folder";
  if (code == EFBIG) hint = "; raise the limit on the size of files (ulimit -f)";
  if (code == EACCES || code == EROFS) hint = "; check the permissions of the folder";
  throw FileError(fmt::format("cannot {} {}: {}{}", operation, path, std::strerror(code), hint));
}

Descriptor open_descriptor(std::string_view operation, const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(operation, path, errno);
  return Descriptor(descriptor);
}

std::atomic<uint64_t> transfers = 0;
thread_local int quiet = 0;  // QuietTransfers of this thread

void count_transfer() {
  if (quiet == 0) transfers.fetch_add(1, std::memory_order_relaxed);
}

// Linux moves at most 2^31 - 4096 bytes in one call.
constexpr size_t largest_transfer = size_t{1} << 30;

void read_exactly(int descriptor, const std::string& path, int64_t offset,
                  std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t got =
        ::pread(descriptor, into.data(), std::min(into.size(), largest_transfer), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) {
      throw FileError(
          fmt::format("cannot read {}: it ends at byte {}, {} more were expected; "
                      "the file was cut short",
                      path, offset, into.size()));
    }
    count_transfer();
    into = into.subspan(static_cast<size_t>(got));
    offset += got;
  }
}

void write_exactly(int descriptor, const std::string& path, int64_t offset,
                   std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t put =
        ::pwrite(descriptor, data.data(), std::min(data.size(), largest_transfer), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail("write", path, put == 0 ? ENOSPC : errno);
    count_transfer();
    data = data.subspan(static_cast<size_t>(put));
    offset += put;
  }
}

// Only Linux can begin a write-out without waiting for its end. Errors of the disk are checked,
// because no later call reports a write-out that failed here. EINVAL and ENOSYS are ignored: with
// them a file system says that it cannot do this.
void start_write_out([[maybe_unused]] int descriptor, [[maybe_unused]] const std::string& path,
                     [[maybe_unused]] int64_t offset, [[maybe_unused]] int64_t bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  if (::sync_file_range(descriptor, offset, bytes, SYNC_FILE_RANGE_WRITE) == 0) return;
  if (errno == EIO || errno == ENOSPC || errno == EDQUOT) fail("write", path, errno);
#endif
}

// Linux limits the bytes that it fetches for one advice (force_page_cache_ra in mm/readahead.c).
// The limit is the larger of the device's largest request and its read-ahead, which is 128 KiB
// unless somebody changed it. The result is ignored: a later read fetches what is missing.
void start_read(int descriptor, int64_t offset, int64_t bytes) {
  constexpr int64_t bytes_per_advice = int64_t{128} << 10;
  for_pieces(bytes, bytes_per_advice, [&](int64_t first, int64_t count) {
    ::posix_fadvise(descriptor, offset + first, count, POSIX_FADV_WILLNEED);
  });
}

class PosixInput final : public InputFile {
 public:
  explicit PosixInput(std::string path)
      // O_NONBLOCK: without it, opening a pipe that nobody writes to would wait for ever. For files
      // it changes nothing.
      : path_(std::move(path)), descriptor_(open_descriptor("open", path_, O_RDONLY | O_NONBLOCK)) {
    struct stat info = {};
    if (::fstat(descriptor_.get(), &info) != 0) fail("stat", path_, errno);
    if (S_ISDIR(info.st_mode)) fail("open", path_, EISDIR);
    BITMILL_CHECK(
        S_ISREG(info.st_mode), FileError,
        fmt::format("cannot open {}: it is a pipe, a socket or a device, not a file", path_));
    size_ = info.st_size;
  }

  const std::string& path() const override { return path_; }
  int64_t size() const override { return size_; }
  void read(int64_t offset, std::span<std::byte> into) const override {
    read_exactly(descriptor_.get(), path_, offset, into);
  }

 private:
  const std::string path_;
  Descriptor descriptor_;
  int64_t size_ = 0;
};

class PosixOutput final : public OutputFile {
 public:
  PosixOutput(std::string path, int flags)
      : path_(std::move(path)),
        descriptor_(open_descriptor("create", path_, O_RDWR | O_CREAT | flags)) {
    const off_t end = ::lseek(descriptor_.get(), 0, SEEK_END);
    if (end < 0) fail("seek in", path_, errno);
    end_ = end;
  }

  const std::string& path() const override { return path_; }
  void append(std::span<const std::byte> data) override {
    write(end_, data);
    end_ += static_cast<int64_t>(data.size());
  }
  void write(int64_t offset, std::span<const std::byte> data) const override {
    write_exactly(descriptor_.get(), path_, offset, data);
  }
  void read(int64_t offset, std::span<std::byte> into) const override {
    read_exactly(descriptor_.get(), path_, offset, into);
  }
  void begin_write_out(int64_t offset, int64_t bytes) const override {
    start_write_out(descriptor_.get(), path_, offset, bytes);
  }
  void begin_read(int64_t offset, int64_t bytes) const override {
    start_read(descriptor_.get(), offset, bytes);
  }
  void sync() override {
    if (::fsync(descriptor_.get()) != 0) fail("sync", path_, errno);
  }
  void close() override {
    const int descriptor = descriptor_.release();
    if (::close(descriptor) != 0 && errno != EINTR) fail("close", path_, errno);
  }

 private:
  const std::string path_;
  Descriptor descriptor_;
  int64_t end_ = 0;
};

class PosixFiles final : public Files {
 public:
  std::unique_ptr<InputFile> open(const std::string& path) override {
    return std::make_unique<PosixInput>(path);
  }
  std::unique_ptr<OutputFile> create(const std::string& path) override {
    return std::make_unique<PosixOutput>(path, O_TRUNC);
  }
  std::unique_ptr<OutputFile> open_append(const std::string& path) override {
    return std::make_unique<PosixOutput>(path, O_APPEND);
  }

  bool exists(const std::string& path) override {
    std::error_code error;
    return fs::exists(path, error);
  }
  bool is_directory(const std::string& path) override {
    std::error_code error;
    return fs::is_directory(path, error);
  }
  bool is_broken_link(const std::string& path) override {
    std::error_code error;
    return fs::is_symlink(fs::symlink_status(path, error)) && !fs::exists(path, error);
  }
  void make_directories(const std::string& path) override {
    std::error_code error;
    fs::create_directories(path, error);
    if (error) fail("make the folder", path, error.value());
  }
  bool make_directory(const std::string& path) override {
    if (::mkdir(path.c_str(), 0777) == 0) return true;
    if (errno != EEXIST) fail("make the folder", path, errno);
    return false;
  }
  void rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) fail("rename to " + to + " the file", from, errno);
  }
  void remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) fail("remove", path, errno);
  }
  void remove_tree(const std::string& path) override {
    std::error_code error;
    fs::remove_all(path, error);
    if (error) fail("remove", path, error.value());
  }
  void sync_directory(const std::string& path) override {
    const Descriptor folder = open_descriptor("open the folder", path, O_RDONLY | O_DIRECTORY);
    if (::fsync(folder.get()) != 0) fail("sync the folder", path, errno);
  }
  std::vector<std::string> list(const std::string& path) override {
    std::error_code error;
    std::vector<std::string> names;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
      names.push_back(it->path().filename().string());
    }
    if (error) fail("list the folder", path, error.value());
    std::sort(names.begin(), names.end());
    return names;
  }
  int64_t free_bytes(const std::string& path) override {
    struct statvfs info = {};
    if (::statvfs(path.c_str(), &info) != 0) fail("read the free space of", path, errno);
    return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
  }
  bool is_writable(const std::string& path) override {
    return ::access(path.c_str(), W_OK | X_OK) == 0;
  }
  uint64_t file_system(const std::string& path) override {
    struct stat info = {};
    if (::stat(path.c_str(), &info) != 0) fail("stat", path, errno);
    return static_cast<uint64_t>(info.st_dev);
  }
  std::string resolve(const std::string& path) override {
    std::error_code error;
    // absolute() first: weakly_canonical() leaves a relative path relative when its first name is
    // missing.
    fs::path whole = fs::absolute(path, error);
    if (!error) whole = fs::weakly_canonical(whole, error);
    if (error) fail("resolve", path, error.value());
    const std::string text = whole.string();
    return text.size() > 1 && text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
  }
};

}  // namespace

QuietTransfers::QuietTransfers() { ++quiet; }
QuietTransfers::~QuietTransfers() { --quiet; }

uint64_t file_transfers() { return transfers.load(std::memory_order_relaxed); }

std::unique_ptr<Files> posix_files() { return std::make_unique<PosixFiles>(); }

std::string read_text(Files& files, const std::string& path, int64_t limit) {
  const auto file = files.open(path);
  BITMILL_CHECK(
      file->size() <= limit, FileError,
      fmt::format("{} has {} bytes; at most {} are read here", path, file->size(), limit));
  std::string text(static_cast<size_t>(file->size()), '\0');
  file->read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void replace_file(Files& files, const std::string& path, std::string_view content) {
  const std::string beside = path + ".new";
  const auto file = files.create(beside);
  file->append(std::as_bytes(std::span(content)));
  file->sync();
  file->close();
  files.rename(beside, path);
  files.sync_directory(parent_path(path));
}

std::string join_path(std::string_view folder, std::string_view name) {
  return (fs::path(folder) / fs::path(name)).string();
}

std::string parent_path(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string file_name(const std::string& path) { return fs::path(path).filename().string(); }

bool lies_in(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder.ends_with('/') ? folder : folder + "/");
}

std::string nearest_existing(Files& files, const std::string& path) {
  std::string there = path;
  while (!files.exists(there) && there != parent_path(there)) there = parent_path(there);
  return there;
}

}  // namespace bitmill

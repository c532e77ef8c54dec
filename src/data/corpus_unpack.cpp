#include "data/corpus_unpack.hpp"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <new>
#include <span>
#include <vector>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "data/file_pieces.hpp"

namespace bitmill {
namespace {

constexpr std::string_view gzip_begin = "\x1f\x8b";
constexpr std::string_view zstd_begin = "\x28\xb5\x2f\xfd";

using Take = std::function<void(std::string_view)>;

// Hands over what it is given, and counts it.
class Counted {
 public:
  explicit Counted(const Take& take) : take_(take) {}
  void operator()(std::string_view piece) {
    if (piece.empty()) return;
    bytes_ += std::ssize(piece);
    take_(piece);
  }
  int64_t bytes() const { return bytes_; }

 private:
  const Take& take_;
  int64_t bytes_ = 0;
};

std::string damaged(const std::string& path, const char* kind, int64_t bytes, const char* words) {
  return fmt::format("{} is damaged: behind {} unpacked bytes {} says \"{}\"; get the file again",
                     path, bytes, kind, words);
}

std::string ends_early(const std::string& path, int64_t bytes) {
  return fmt::format(
      "{} ends early: {} bytes were unpacked, and more should follow; get the file "
      "again",
      path, bytes);
}

// What is behind the last part of a compressed file. Zeros are allowed: tapes and some writers add
// them.
void check_only_zeros(std::string_view rest, const std::string& path) {
  BITMILL_CHECK(rest.find_first_not_of('\0') == rest.npos, FormatError,
                fmt::format("{}: behind the compressed content there is something else; get the "
                            "file again",
                            path));
}

class GzipReader {
 public:
  GzipReader(const std::string& path, Counted& counted) : path_(path), counted_(counted) {
    constexpr int gzip_windows = 16 + MAX_WBITS;  // the gzip format, any window
    if (inflateInit2(&stream_, gzip_windows) != Z_OK) throw std::bad_alloc();
  }
  ~GzipReader() { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  void add(std::string_view piece) {
    // zlib does not write to its input; the cast is for its C interface.
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    bool is_full = false;  // more of what was read may wait
    while (stream_.avail_in > 0 || (is_full && !is_between_)) {
      if (is_between_ && !begin_part()) return;
      is_full = unpack();
    }
  }
  void finish() const {
    BITMILL_CHECK(is_between_, FormatError, ends_early(path_, counted_.bytes()));
  }

 private:
  std::string_view rest() const {
    return {reinterpret_cast<const char*>(stream_.next_in), stream_.avail_in};
  }
  // False where only zeros follow.
  bool begin_part() {
    if (rest().front() == '\0' || has_ended_) {
      check_only_zeros(rest(), path_);
      has_ended_ = true;
      return false;
    }
    inflateReset(&stream_);
    is_between_ = false;
    return true;
  }
  // Whether all of the room for output was needed.
  bool unpack() {
    stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
    stream_.avail_out = static_cast<uInt>(out_.size());
    const int result = inflate(&stream_, Z_NO_FLUSH);
    counted_({out_.data(), out_.size() - stream_.avail_out});
    is_between_ = result == Z_STREAM_END;
    BITMILL_CHECK(
        is_between_ || result == Z_OK || result == Z_BUF_ERROR, FormatError,
        damaged(path_, "zlib", counted_.bytes(), stream_.msg ? stream_.msg : zError(result)));
    return stream_.avail_out == 0;
  }

  const std::string& path_;
  Counted& counted_;
  z_stream stream_ = {};
  std::vector<char> out_ = std::vector<char>(file_piece_bytes);
  bool is_between_ = true;  // no part has begun that has not ended
  bool has_ended_ = false;  // zeros were seen
};

struct ZstdTraits {
  using Type = ZSTD_DStream*;
  static Type null() { return nullptr; }
  static void destroy(Type stream) { ZSTD_freeDStream(stream); }
};

class ZstdReader {
 public:
  ZstdReader(const std::string& path, Counted& counted)
      : path_(path), counted_(counted), stream_(ZSTD_createDStream()) {
    if (stream_.get() == nullptr) throw std::bad_alloc();
  }

  void add(std::string_view piece) {
    ZSTD_inBuffer in{piece.data(), piece.size(), 0};
    bool is_full = true;
    while (in.pos < in.size || is_full) {
      if (in.pos == in.size && left_ == 0) return;
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      left_ = ZSTD_decompressStream(stream_.get(), &out, &in);
      BITMILL_CHECK(!ZSTD_isError(left_), FormatError,
                    damaged(path_, "zstd", counted_.bytes(), ZSTD_getErrorName(left_)));
      counted_({out_.data(), out.pos});
      is_full = out.pos == out.size;
    }
  }
  void finish() const {
    BITMILL_CHECK(left_ == 0, FormatError, ends_early(path_, counted_.bytes()));
  }

 private:
  const std::string& path_;
  Counted& counted_;
  const UniqueHandle<ZstdTraits> stream_;
  std::vector<char> out_ = std::vector<char>(file_piece_bytes);
  size_t left_ = 0;  // what zstd expects of the part that it is in; 0: none has begun
};

// What is not compressed.
class PlainReader {
 public:
  PlainReader(const std::string&, Counted& counted) : counted_(counted) {}
  void add(std::string_view piece) { counted_(piece); }
  void finish() const {}

 private:
  Counted& counted_;
};

// Until wants_more() says no, which is asked after every piece of the file; the content need not
// end there. Returns how many bytes of the file were read.
template <class Reader>
int64_t unpack_with(const InputFile& file, Counted& counted,
                    const std::function<bool()>& wants_more) {
  Reader reader(file.path(), counted);
  const int64_t read = read_file_pieces(file, file.size(), [&](std::span<const std::byte> piece) {
    reader.add({reinterpret_cast<const char*>(piece.data()), piece.size()});
    return wants_more();
  });
  if (read == file.size()) reader.finish();
  return read;
}

int64_t unpack_some(const InputFile& file, Packing packing, Counted& counted,
                    const std::function<bool()>& wants_more) {
  switch (packing) {
    case Packing::gzip:
      return unpack_with<GzipReader>(file, counted, wants_more);
    case Packing::zstd:
      return unpack_with<ZstdReader>(file, counted, wants_more);
    case Packing::none:
      break;
  }
  return unpack_with<PlainReader>(file, counted, wants_more);
}

}  // namespace

bool begins_packed(std::string_view content) {
  return content.starts_with(gzip_begin) || content.starts_with(zstd_begin);
}

Packing packing_of(Files& files, const std::string& path) {
  std::array<char, 4> begin = {};
  const auto file = files.open(path);
  const auto size = static_cast<size_t>(std::min<int64_t>(std::ssize(begin), file->size()));
  file->read(0, std::as_writable_bytes(std::span(begin).first(size)));
  const std::string_view text(begin.data(), size);
  if (text.starts_with(gzip_begin)) return Packing::gzip;
  if (text.starts_with(zstd_begin)) return Packing::zstd;
  BITMILL_CHECK(!path.ends_with(".gz") && !path.ends_with(".zst"), FormatError,
                fmt::format("{} is not compressed as its name says: it {}", path,
                            size == 0 ? "is empty" : "begins otherwise; rename it"));
  return Packing::none;
}

std::string name_of_content(const std::string& path) {
  for (const std::string_view end : {".gz", ".zst"}) {
    if (path.ends_with(end)) return path.substr(0, path.size() - end.size());
  }
  return path;
}

ContentBegin content_begin(Files& files, const std::string& path, size_t most) {
  const auto file = files.open(path);
  const Packing packing = packing_of(files, path);
  ContentBegin begin;
  const Take take = [&](std::string_view piece) {
    begin.text += piece.substr(0, most - std::min(most, begin.text.size()));
  };
  Counted counted(take);
  const int64_t read =
      unpack_some(*file, packing, counted, [&] { return begin.text.size() < most; });
  const double each =
      static_cast<double>(counted.bytes()) / static_cast<double>(std::max<int64_t>(1, read));
  begin.bytes = packing == Packing::none ? file->size()
                : read == file->size()
                    ? counted.bytes()
                    : static_cast<int64_t>(each * static_cast<double>(file->size()));
  return begin;
}

int64_t read_content(Files& files, const std::string& path, const Take& take) {
  Counted counted(take);
  unpack_some(*files.open(path), packing_of(files, path), counted, [] { return true; });
  return counted.bytes();
}

}  // namespace bitmill

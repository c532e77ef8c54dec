#pragma once
// The content of a file that may be compressed with gzip or zstd: piece by piece, in order.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/files.hpp"

namespace bitmill {

enum class Packing { none, gzip, zstd };

// Whether a content begins as compressed files do.
bool begins_packed(std::string_view content);
// By the first bytes of the file. FormatError where the name ends in .gz or .zst, and the content
// is something else.
Packing packing_of(Files& files, const std::string& path);
// `path` without .gz or .zst at its end: the name that says what the content is.
std::string name_of_content(const std::string& path);

// The first bytes of a content, without the rest being read.
struct ContentBegin {
  std::string text;   // the first `most` bytes, or all
  int64_t bytes = 0;  // of the whole content: exact where it has at most `most` bytes, or is not
                      // compressed; else about, as if all of it packed like its begin
};
ContentBegin content_begin(Files& files, const std::string& path, size_t most);

// Hands the content to `take` in pieces of 1 MiB or less, and returns how many bytes it has. Both
// formats may consist of several parts behind each other, as `cat a.gz b.gz` makes them. Memory:
// 2 MiB, and up to 128 MiB for the window of zstd. FormatError where the file ends early, is
// damaged, or wants a larger window. Whatever `take` throws ends it.
int64_t read_content(Files& files, const std::string& path,
                     const std::function<void(std::string_view)>& take);

}  // namespace bitmill

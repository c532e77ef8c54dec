#pragma once
// What a text of a corpus is, judged by its begin.

#include <cstddef>
#include <string>
#include <string_view>

#include "base/files.hpp"
#include "data/corpus_text.hpp"

namespace bitmill {

// Whether `begin` says what the file holds: 1 MiB is enough for a text, and a first line that may
// be JSON is read to its end.
bool has_first_line(std::string_view begin);

// Whether the file is read line by line. REQUIRES: has_first_line(begin), or `begin` is all.
// UsageError where a key was named, and it is not; and for a file that is no text.
bool is_read_by_lines(std::string_view begin, const std::string& path, const std::string& text_key);

// The key for a file of text beside others: `text_key` where it has lines of JSON, else none.
// UsageError where it is no text. REQUIRES: it can be opened.
std::string key_where_lines(Files& files, const std::string& path, const std::string& text_key);

// FormatError where there is nothing.
void check_not_empty(int64_t bytes, const std::string& path);

inline constexpr size_t bytes_of_begin = size_t{1} << 20;
// Of a file that is not compressed: its first bytes_of_begin, or all.
std::string begin_of(Files& files, const std::string& path);

// Refuses what indexing would refuse in the first bytes_of_begin, or all, of a content: its kind,
// and a first line of JSON. Nothing where that line is longer.
void check_begin(std::string_view begin, const std::string& path, const std::string& text_key,
                 const CorpusLines& lines);

}  // namespace bitmill

#include "data/corpus_begin.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/error.hpp"
#include "data/corpus_splitter.hpp"
#include "data/corpus_unpack.hpp"

namespace bitmill {

bool has_first_line(std::string_view begin) {
  constexpr size_t enough = size_t{1} << 20;
  if (begin.size() < enough) return false;
  const size_t first = begin.find_first_not_of(" \t\r\n");
  if (first == begin.npos || begin[first] != '{') return true;
  return std::ssize(begin) > longest_json_line || begin.find('\n', first) != begin.npos;
}

bool is_read_by_lines(std::string_view begin, const std::string& path,
                      const std::string& text_key) {
  const bool is_lines = holds_json_lines(begin, name_of_content(path));
  BITMILL_CHECK(
      is_lines || text_key.empty(), UsageError,
      fmt::format("--text-key {} has no effect: {} is a text, and no JSON lines", text_key, path));
  return is_lines;
}

void check_not_empty(int64_t bytes, const std::string& path) {
  BITMILL_CHECK(bytes > 0, FormatError, fmt::format("{} is empty: give a text", path));
}

void check_begin(std::string_view begin, const std::string& path, const std::string& text_key,
                 const CorpusLines& lines) {
  check_not_empty(std::ssize(begin), path);
  const bool is_whole = begin.size() < bytes_of_begin;
  if (!is_whole && !has_first_line(begin)) return;
  if (!is_read_by_lines(begin, path, text_key)) return;
  const size_t first = begin.find_first_not_of(" \t\r\n");
  const size_t end = first == begin.npos ? begin.npos : begin.find('\n', first);
  if (end == begin.npos) return;
  const auto before =
      std::count(begin.begin(), begin.begin() + static_cast<ptrdiff_t>(first), '\n');
  lines.read(begin.substr(first, end - first), fmt::format("{}, line {}", path, before + 1));
}

std::string begin_of(Files& files, const std::string& path) {
  const auto file = files.open(path);
  std::string begin(static_cast<size_t>(std::min(file->size(), int64_t{bytes_of_begin})), '\0');
  file->read(0, std::as_writable_bytes(std::span(begin)));
  return begin;
}

std::string key_where_lines(Files& files, const std::string& path, const std::string& text_key) {
  if (is_token_file(files, path)) return "";
  return holds_json_lines(begin_of(files, path), path) ? text_key : "";
}

}  // namespace bitmill

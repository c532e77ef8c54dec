#include "data/corpus_splitter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

// What GPT-2's and TinyStories' texts have between documents.
constexpr std::string_view document_border = "<|endoftext|>";
constexpr std::string_view blanks_around_text = " \t\r\n";

std::string_view without_front(std::string_view text) {
  return text.substr(std::min(text.size(), text.find_first_not_of(blanks_around_text)));
}

std::string_view without_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(blanks_around_text) + 1);  // npos + 1 is 0
}

// Where a piece ends: behind a line, or else before a word, or else before a character; but never
// in its first half. REQUIRES: the text is longer than a piece.
size_t end_of_piece(std::string_view text) {
  const auto longest = static_cast<size_t>(longest_piece);
  const std::string_view piece = text.substr(0, longest);
  if (const size_t line = piece.rfind('\n'); line != piece.npos && line >= longest / 2) {
    return line + 1;
  }
  if (const size_t blank = piece.rfind(' '); blank != piece.npos && blank >= longest / 2) {
    return blank;
  }
  return longest - incomplete_utf8_bytes(piece);
}

}  // namespace

DocumentSplitter::DocumentSplitter(const std::string& name, SplitRules rules,
                                   const CorpusLines& lines,
                                   std::function<void(const FoundDocument&)> found)
    : name_(name), rules_(rules), lines_(lines), found_(std::move(found)) {}

void DocumentSplitter::add(std::string_view bytes) {
  pending_.erase(0, at_);
  offset_ += static_cast<int64_t>(at_);
  at_ = 0;
  pending_ += bytes;
  rules_.is_json_lines ? take_lines(/*is_end=*/false) : take_texts(/*is_end=*/false);
}

void DocumentSplitter::finish() {
  rules_.is_json_lines ? take_lines(/*is_end=*/true) : take_texts(/*is_end=*/true);
}

void DocumentSplitter::take_lines(bool is_end) {
  while (!rest().empty()) {
    const size_t end = rest().find('\n', searched_);
    const size_t length = std::min(end, rest().size());
    BITMILL_CHECK(static_cast<int64_t>(length) <= longest_json_line, FormatError,
                  fmt::format("{}: the line has more than {} MiB, and must have one document: a "
                              "list becomes lines with jq -c '.[]'",
                              line_of(rest().data()), longest_json_line >> 20));
    if (end == std::string_view::npos && !is_end) {
      searched_ = length;
      return;
    }
    take_line(rest().substr(0, length));
    drop(std::min(length + 1, rest().size()));
  }
}

void DocumentSplitter::take_line(std::string_view line) {
  if (without_front(line).empty()) return;
  const std::string where = line_of(line.data());
  BITMILL_CHECK(line.find('\0') == line.npos, FormatError,
                fmt::format("{}: the line has a byte 0, and is no JSON", where));
  FoundDocument document{offset_of(line), line, lines_.read(line, where)};
  const std::string& text = document.text.text;
  check_same_kind(document.text.is_chat, is_chat_.value_or(document.text.is_chat), where);
  is_chat_ = document.text.is_chat;
  document.text_bytes = std::ssize(text);
  const bool is_blank = without_front(text).empty();
  if (is_blank || document.text_bytes < rules_.least_bytes) {
    return leave_out(is_blank ? 0 : document.text_bytes);
  }
  found_(document);
}

void DocumentSplitter::take_texts(bool is_end) {
  while (!rest().empty()) {
    const size_t border = rest().find(document_border, searched_);
    const size_t length = std::min(border, rest().size());
    // Where more bytes may come, the last ones may be the begin of a border.
    const bool is_open = border == std::string_view::npos && !is_end;
    const size_t sure = length - (is_open ? std::min(length, document_border.size()) : 0);
    if (static_cast<int64_t>(sure) > longest_piece) {
      const size_t end = end_of_piece(rest());
      take_text(rest().substr(0, end), /*is_end_of_document=*/false);
      drop(end);
    } else if (border != std::string_view::npos) {
      take_text(rest().substr(0, border), /*is_end_of_document=*/true);
      drop(border + document_border.size());
    } else if (is_end) {
      take_text(rest(), /*is_end_of_document=*/true);
      drop(length);
    } else {
      searched_ = length - std::min(length, document_border.size() - 1);
      return;
    }
  }
}

void DocumentSplitter::take_text(std::string_view stored, bool is_end_of_document) {
  if (!is_inside_) stored = without_front(stored);
  if (is_end_of_document) stored = without_end(stored);
  const bool continues = std::exchange(is_inside_, !is_end_of_document && !stored.empty());
  if (stored.empty()) return;
  const size_t zero = stored.find('\0');
  BITMILL_CHECK(zero == stored.npos, FormatError,
                fmt::format("{} is no text: there is a byte 0", line_of(stored.data() + zero)));
  const size_t invalid = first_invalid_utf8(stored);
  BITMILL_CHECK(
      invalid == stored.npos, FormatError,
      fmt::format("{} is not UTF-8: there is the byte 0x{:02x}; convert the text, such "
                  "as with iconv",
                  line_of(stored.data() + invalid), static_cast<unsigned char>(stored[invalid])));
  const int64_t bytes = std::ssize(stored);
  if (is_end_of_document && bytes < rules_.least_bytes) return leave_out(bytes);
  found_({offset_of(stored), stored, {}, continues, bytes});
}

void DocumentSplitter::drop(size_t bytes) {
  line_ += std::ranges::count(rest().substr(0, bytes), '\n');
  at_ += bytes;
  searched_ = 0;
}

void DocumentSplitter::leave_out(int64_t bytes) {
  ++left_out_;
  longest_left_out_ = std::max(longest_left_out_, bytes);
}

std::string DocumentSplitter::line_of(const char* place) const {
  return fmt::format("{}, line {}", name_, line_ + std::count(rest().data(), place, '\n'));
}

int64_t DocumentSplitter::offset_of(std::string_view stored) const {
  return offset_ + (stored.data() - pending_.data());
}

}  // namespace bitmill

#pragma once
// Tells the documents of a text apart while its bytes pass by. CORPUS.md, "Documents", has the
// rules.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "data/corpus_text.hpp"

namespace bitmill {

// A document longer than this is cut into pieces that count as documents of their own. What
// tokenizes a piece works on all of it.
inline constexpr int64_t longest_piece = int64_t{1} << 20;  // bytes
// A line of JSON must be in memory as a whole.
inline constexpr int64_t longest_json_line = int64_t{64} << 20;  // bytes

struct FoundDocument {
  int64_t offset = 0;       // of its bytes in the file, unpacked
  std::string_view stored;  // these bytes: a text, or a line of JSON
  CorpusText text;          // of JSON lines; else empty: `stored` is the text
  bool continues = false;   // of the document before
  int64_t text_bytes = 0;
};

// What documents a file may have.
struct SplitRules {
  bool is_json_lines = false;
  int64_t least_bytes = 1;  // shorter documents are counted, and left out
};

class DocumentSplitter {
 public:
  // `lines` reads JSON lines, and `name` is the file in errors. Both must outlive the splitter.
  DocumentSplitter(const std::string& name, SplitRules rules, const CorpusLines& lines,
                   std::function<void(const FoundDocument&)> found);

  // Bytes that follow those before. Calls found() for each document that they complete, in order.
  // FormatError with file and line: a byte 0, invalid UTF-8, a line that is too long, is no JSON or
  // has no text; a chat behind texts, and the other way round.
  void add(std::string_view bytes);
  void finish();  // after the last byte

  int64_t left_out() const { return left_out_; }                  // documents that are too short
  int64_t longest_left_out() const { return longest_left_out_; }  // bytes

 private:
  std::string_view rest() const { return std::string_view(pending_).substr(at_); }
  void take_lines(bool is_end);
  void take_texts(bool is_end);
  void take_line(std::string_view line);
  void take_text(std::string_view stored, bool is_end_of_document);
  void drop(size_t bytes);
  void leave_out(int64_t bytes);
  std::string line_of(const char* place) const;  // "FILE, line N"
  int64_t offset_of(std::string_view stored) const;

  const std::string& name_;
  const SplitRules rules_;
  const CorpusLines& lines_;
  const std::function<void(const FoundDocument&)> found_;

  std::string pending_;  // read, and not yet taken, from at_ on
  size_t at_ = 0;
  size_t searched_ = 0;     // of rest(): no border lies there
  int64_t offset_ = 0;      // of pending_ in the file
  int64_t line_ = 1;        // where rest() begins
  bool is_inside_ = false;  // a piece of the present document was reported
  std::optional<bool> is_chat_;
  int64_t left_out_ = 0, longest_left_out_ = 0;
};

}  // namespace bitmill

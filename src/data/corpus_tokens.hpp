#pragma once
// Tokens of parts of documents: only as much of a text is tokenized as is asked for.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.hpp"
#include "data/corpus_index.hpp"
#include "data/tokenizer.hpp"

namespace bitmill {

// A stretch of the text of an index, bytes [begin, end). Both lie at borders: word_begin().
struct TextStretch {
  int64_t begin = 0, end = 0;

  int64_t bytes() const { return end - begin; }
};

// Const methods may be called from several threads at once.
class CorpusTokens {
 public:
  // The index must outlive the result.
  CorpusTokens(Files& files, const CorpusIndex& index, const std::string& model_folder,
               int64_t vocab_size);

  // Where a word begins, or else a character or a document, at or behind a place of the text. The
  // space before a word belongs to it where the tokenizer's tokens begin with spaces; else the
  // tokenizer adds it.
  int64_t word_begin(int64_t place) const;

  // Adds tokens of the stretch to `ids` until it has `wanted`, or the stretch ends. What the
  // tokenizer puts before and behind a text stands at the borders of documents; where it puts
  // nothing there, the EOS stands behind each. A chat has what its template writes, and no more.
  void append(TextStretch stretch, int64_t wanted, std::vector<int32_t>& ids) const;
  // The first tokens of one document, `wanted` at most: as the tokenizer makes them of a text.
  std::vector<int32_t> front_of(int64_t document, int64_t wanted) const;

  // What stands between documents, in words.
  std::string border_note() const;

 private:
  std::vector<int32_t> tokens_of_front(std::string_view text, int64_t wanted, bool& is_all) const;
  void append_document(const IndexedDocument& document, const CorpusText& text, TextStretch stretch,
                       int64_t wanted, std::vector<int32_t>& ids) const;
  std::vector<int32_t> encode(std::string_view text) const;

  const CorpusIndex& index_;
  const std::unique_ptr<Tokenizer> tokenizer_;
  const int64_t vocab_size_;
  std::vector<int32_t> before_, behind_;  // of a single text
  std::vector<int32_t> border_;           // behind a document of a stretch, where it is not empty
  bool words_keep_space_ = false;
};

}  // namespace bitmill

#include "data/corpus_tokens.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>

#include "base/error.hpp"
#include "data/tokenizer_config.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

// Where no word begins for so long, a character is taken: some languages have no spaces.
constexpr size_t farthest_word = 128;  // bytes

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// The first place at or behind `place` where the text may be cut without a change of its tokens:
// at a single space in a line, or at its end. Far from any, the first character.
size_t next_word(std::string_view text, size_t place, bool keeps_space) {
  if (place == 0) return 0;
  const size_t last = std::min(text.size(), place + farthest_word);
  for (size_t space = text.find(' ', place); space < last; space = text.find(' ', space + 1)) {
    const bool is_single =
        !is_blank(text[space - 1]) && space + 1 < text.size() && !is_blank(text[space + 1]);
    if (is_single) return keeps_space ? space : space + 1;
  }
  if (last == text.size()) return last;
  while (place < text.size() && (static_cast<unsigned char>(text[place]) & 0xC0) == 0x80) ++place;
  return place;
}

// Whether the tokens of a text are those of its words with the spaces before them; else the spaces
// are left to the tokenizer, which adds one before every text.
bool words_keep_their_space(const Tokenizer& tokenizer) {
  const auto whole = tokenizer.encode("the end", false);
  auto parts = tokenizer.encode("the", false);
  const auto second = tokenizer.encode(" end", false);
  parts.insert(parts.end(), second.begin(), second.end());
  return parts == whole;
}

// The EOS of tokenizer_config.json, where it is one token.
std::vector<int32_t> eos_of(Files& files, const std::string& folder, const Tokenizer& tokenizer) {
  const TokenizerConfig config = read_tokenizer_config(files, folder);
  if (!config.eos_token) return {};
  auto ids = tokenizer.encode(*config.eos_token, false);
  if (ids.size() != 1) ids.clear();
  return ids;
}

}  // namespace

CorpusTokens::CorpusTokens(Files& files, const CorpusIndex& index, const std::string& model_folder,
                           int64_t vocab_size)
    : index_(index),
      tokenizer_(open_tokenizer(files, model_folder)),
      vocab_size_(vocab_size),
      before_(tokenizer_->ids_before_text()),
      words_keep_space_(words_keep_their_space(*tokenizer_)) {
  const auto around_nothing = tokenizer_->encode("", true);
  assert(around_nothing.size() >= before_.size());
  behind_.assign(around_nothing.begin() + std::ssize(before_), around_nothing.end());
  if (around_nothing.empty()) border_ = eos_of(files, model_folder, *tokenizer_);
}

int64_t CorpusTokens::word_begin(int64_t place) const {
  if (place >= index_.text_bytes()) return index_.text_bytes();
  const int64_t number = index_.document_at(place);
  const IndexedDocument document = index_.document(number);
  if (place == document.begin) return place;
  const CorpusText text = index_.read(number);
  return document.begin +
         static_cast<int64_t>(
             next_word(text.text, static_cast<size_t>(place - document.begin), words_keep_space_));
}

void CorpusTokens::append(TextStretch stretch, int64_t wanted, std::vector<int32_t>& ids) const {
  int64_t place = stretch.begin;
  while (place < stretch.end && std::ssize(ids) < wanted) {
    const int64_t number = index_.document_at(place);
    const IndexedDocument document = index_.document(number);
    const TextStretch part{place, std::min(stretch.end, document.end())};
    const CorpusText text = index_.read(number);
    append_document(document, text, part, wanted, ids);
    place = part.end;
    if (place < document.end() || text.is_chat) continue;  // a template ends its chats
    if (place < index_.text_bytes() && index_.document(number + 1).continues) continue;
    ids.insert(ids.end(), behind_.begin(), behind_.end());
    ids.insert(ids.end(), border_.begin(), border_.end());
  }
  if (std::ssize(ids) > wanted) ids.resize(static_cast<size_t>(wanted));
}

void CorpusTokens::append_document(const IndexedDocument& document, const CorpusText& text,
                                   TextStretch stretch, int64_t wanted,
                                   std::vector<int32_t>& ids) const {
  const bool is_begin = stretch.begin == document.begin && !document.continues;
  if (is_begin && !text.is_chat) ids.insert(ids.end(), before_.begin(), before_.end());
  const auto part = std::string_view(text.text).substr(
      static_cast<size_t>(stretch.begin - document.begin), static_cast<size_t>(stretch.bytes()));
  bool is_all = false;
  const auto tokens = tokens_of_front(part, wanted - std::ssize(ids), is_all);
  ids.insert(ids.end(), tokens.begin(), tokens.end());
}

std::vector<int32_t> CorpusTokens::front_of(int64_t document, int64_t wanted) const {
  const CorpusText text = index_.read(document);
  std::vector<int32_t> ids;
  if (!text.is_chat) ids = before_;
  bool is_all = false;
  const auto tokens = tokens_of_front(text.text, wanted, is_all);
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  if (is_all && !text.is_chat) ids.insert(ids.end(), behind_.begin(), behind_.end());
  if (std::ssize(ids) > wanted) ids.resize(static_cast<size_t>(wanted));
  return ids;
}

// At least `wanted` tokens of the text, or all. The last words of a front are left out of the
// count: where a text is cut may change their tokens.
std::vector<int32_t> CorpusTokens::tokens_of_front(std::string_view text, int64_t wanted,
                                                   bool& is_all) const {
  constexpr int64_t spare = 8;             // tokens
  constexpr int64_t usual_token = 6;       // bytes: more than in English
  constexpr int64_t shortest_front = 256;  // bytes
  is_all = false;
  for (int64_t bytes = usual_token * (std::max<int64_t>(wanted, 0) + spare) + shortest_front;;
       bytes *= 2) {
    if (bytes >= std::ssize(text)) break;
    const size_t cut = next_word(text, static_cast<size_t>(bytes), words_keep_space_);
    auto ids = encode(text.substr(0, cut));
    if (std::ssize(ids) >= wanted + spare) return ids;
  }
  is_all = true;
  return encode(text);
}

std::vector<int32_t> CorpusTokens::encode(std::string_view text) const {
  auto ids = tokenizer_->encode(text, /*add_special=*/false);
  const auto wrong =
      std::ranges::find_if(ids, [&](int32_t id) { return id < 0 || id >= vocab_size_; });
  BITMILL_CHECK(wrong == ids.end(), FormatError,
                fmt::format("the tokenizer gives the id {}, and the model's vocabulary is [0, {}): "
                            "is this tokenizer that of the model?",
                            *wrong, vocab_size_));
  return ids;
}

std::string CorpusTokens::border_note() const {
  if (!before_.empty() || !behind_.empty()) {
    return fmt::format("documents begin and end as the tokenizer has it: {} before, {} behind",
                       before_.empty() ? "nothing" : fmt::format("{}", fmt::join(before_, " ")),
                       behind_.empty() ? "nothing" : fmt::format("{}", fmt::join(behind_, " ")));
  }
  if (!border_.empty()) {
    return fmt::format("the EOS, id {}, stands behind each document", border_.front());
  }
  return "documents follow each other with nothing between them: the tokenizer adds no token to a "
         "text, and tokenizer_config.json names no EOS";
}

}  // namespace bitmill

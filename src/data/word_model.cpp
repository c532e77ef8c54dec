#include "data/word_model.hpp"

#include <utility>

#include "data/token_model.hpp"

namespace bitmill {
namespace {

// Number of bytes of `word` before its first space that is behind another character; all of them
// when there is no such space.
size_t bytes_before_word_space(std::string_view word) {
  size_t at = 0;
  while (word.substr(at).starts_with(word_space)) at += word_space.size();
  return std::min(word.find(word_space, at), word.size());
}

}  // namespace

WordModel::WordModel(PreTokenizer pre_tokenizer, const BpeTables& tables)
    : pre_tokenizer_(std::move(pre_tokenizer)),
      bpe_(tables),
      cuts_at_spaces_(!pre_tokenizer_.is_byte_level() && !tables.options.ignore_merges &&
                      bpe_.begins_tokens_only(word_space)) {}

void WordModel::encode(std::string_view text, bool begins_text, std::vector<int32_t>& ids) const {
  std::unique_ptr<WordCache> cache = caches_.take();
  pre_tokenizer_.split(text, begins_text, [&](std::string_view word) {
    // SentencePiece-style tokenizers make a whole text one word. Where it may be cut before spaces,
    // the parts can be found in the cache.
    while (cuts_at_spaces_ && !word.empty()) {
      const size_t bytes = bytes_before_word_space(word);
      encode_word(word.substr(0, bytes), *cache, ids);
      word.remove_prefix(bytes);
    }
    if (!word.empty()) encode_word(word, *cache, ids);
  });
  caches_.give_back(std::move(cache));
}

void WordModel::encode_word(std::string_view word, WordCache& cache,
                            std::vector<int32_t>& ids) const {
  cache.append(word, ids, [&](std::string_view anew, std::vector<int32_t>& into) {
    if (pre_tokenizer_.is_byte_level()) {
      bpe_.encode_bytes(anew, into);
    } else {
      bpe_.encode(anew, into);
    }
  });
}

}  // namespace bitmill

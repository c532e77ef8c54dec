#pragma once
// A text cut into words, and the words into tokens by BPE.

#include "data/bpe.hpp"
#include "data/pre_tokenizer.hpp"
#include "data/token_model.hpp"
#include "data/word_cache.hpp"

namespace bitmill {

class WordModel final : public TokenModel {
 public:
  WordModel(PreTokenizer pre_tokenizer, const BpeTables& tables);

  void encode(std::string_view text, bool begins_text, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> id_of(std::string_view token) const override { return bpe_.id_of(token); }
  std::optional<std::string_view> token_of(int32_t id) const override { return bpe_.token_of(id); }
  int32_t token_count() const override { return bpe_.token_count(); }
  int32_t largest_id() const override { return bpe_.largest_id(); }

 private:
  void encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& ids) const;

  const PreTokenizer pre_tokenizer_;
  const BpeModel bpe_;
  const bool cuts_at_spaces_;  // a word may be cut before U+2581
  mutable WordCaches caches_;
};

}  // namespace bitmill

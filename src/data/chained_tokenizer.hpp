#pragma once
// The only Tokenizer: a chain of steps, in the order in which they are applied to a text. All kinds
// of files make such a chain.

#include <memory>

#include "data/added_tokens.hpp"
#include "data/decoder.hpp"
#include "data/normalizer.hpp"
#include "data/sequence_template.hpp"
#include "data/token_model.hpp"
#include "data/tokenizer.hpp"

namespace bitmill {

struct TokenizerChain {
  Normalizer normalizer;
  std::unique_ptr<TokenModel> model;
  AddedTokens added;
  SequenceTemplate sequence_template;
  Decoder decoder;
};

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerChain chain);

}  // namespace bitmill

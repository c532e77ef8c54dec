#pragma once
// The kinds of tokenizer files. Each is read by one function in a .cpp of its own, which is named
// below. FormatError, with the file and the key, for anything that is missing, wrong or not
// understood.

#include <memory>
#include <string>

#include "base/files.hpp"
#include "data/tokenizer.hpp"

namespace bitmill {

// tokenizer_json.cpp. `path`: a tokenizer.json of the `tokenizers` package. It holds everything but
// added tokens that only the files beside it name (data/tokens_beside.hpp).
std::unique_ptr<Tokenizer> read_tokenizer_json(Files& files, const std::string& path);

// vocab_merges.cpp. vocab.json, merges.txt, and what tokenizer_config.json says about them, as the
// tokenizer classes GPT2Tokenizer and Qwen2Tokenizer of transformers understand them.
std::unique_ptr<Tokenizer> read_vocab_and_merges(Files& files, const std::string& folder);

// tiktoken.cpp. `content` of `folder`/tokenizer.model: ranks in base64, in tiktoken's form. Only
// that of LLaMA-3 is read: such a file does not hold its expression and its special tokens, and
// only those of LLaMA-3 are known here.
std::unique_ptr<Tokenizer> read_tiktoken(Files& files, const std::string& folder,
                                         const std::string& content);
bool is_tiktoken(const std::string& content);

// sentencepiece_reader.cpp. `content` of `folder`/tokenizer.model: a model of the sentencepiece
// library, with the conventions of LlamaTokenizer (legacy) about BOS, EOS and added tokens.
std::unique_ptr<Tokenizer> read_sentencepiece(Files& files, const std::string& folder,
                                              const std::string& content);

}  // namespace bitmill

#include "data/token_text.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <span>

#include "base/error.hpp"
#include "data/corpus_text.hpp"
#include "data/token_file.hpp"
#include "data/tokenizer.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill {
namespace {

Tokens tokenize(Files& files, const std::string& path, const CorpusText& corpus,
                const std::string& model_folder) {
  const auto tokenizer = open_tokenizer(files, model_folder);
  Tokens tokens;
  tokens.before = tokenizer->ids_before_text();
  tokens.tokenized_here = true;
  try {
    tokens.ids = tokenizer->encode(corpus.text, /*add_special=*/!corpus.is_chat);
  } catch (const FormatError& error) {
    throw FormatError(fmt::format("{}: {}", path, error.what()));
  }
  return tokens;
}

}  // namespace

Tokens read_tokens(Files& files, const std::string& path, const std::string& model_folder,
                   int64_t vocab_size, const std::string& text_key) {
  if (is_token_file(files, path)) {
    BITMILL_CHECK(text_key.empty(), UsageError,
                  fmt::format("--text-key {} has no effect: {} is a token file", text_key, path));
    return read_token_file(files, path, vocab_size);
  }
  const CorpusText corpus = read_corpus_text(files, path, text_key, model_folder);
  Tokens tokens = tokenize(files, path, corpus, model_folder);
  check_vocabulary(tokens, vocab_size, path);
  return tokens;
}

void write_token_file(Files& files, const std::string& path, const Tokens& tokens) {
  TensorSource source;
  source.name = token_tensor;
  source.dtype = Dtype::int32;
  source.shape = {static_cast<int64_t>(tokens.ids.size())};
  if (tokens.is_windows()) source.shape = {tokens.windows, tokens.window_len};
  source.produce = [&tokens](const ByteSink& sink) { sink(std::as_bytes(std::span(tokens.ids))); };
  const std::string beside = path + ".new";
  write_safetensors(files, beside, {source}, {});
  files.rename(beside, path);
  files.sync_directory(parent_path(path));
}

}  // namespace bitmill

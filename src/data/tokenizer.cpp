#include "data/tokenizer.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "data/tokenizer_kinds.hpp"

namespace bitmill {

std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder) {
  const auto has = [&](const char* name) { return files.exists(join_path(folder, name)); };
  if (has("tokenizer.json")) {
    return read_tokenizer_json(files, join_path(folder, "tokenizer.json"));
  }
  if (has("tokenizer.model")) {
    const std::string content = read_text(files, join_path(folder, "tokenizer.model"));
    if (is_tiktoken(content)) return read_tiktoken(files, folder, content);
    return read_sentencepiece(files, folder, content);
  }
  if (has("vocab.json") && has("merges.txt")) return read_vocab_and_merges(files, folder);
  throw FormatError(fmt::format(
      "{}: there is no tokenizer: neither tokenizer.json, nor tokenizer.model, nor vocab.json with "
      "merges.txt{}; copy it from where the model came from",
      folder, has("vocab.json") || has("merges.txt") ? " (only one of the two is there)" : ""));
}

}  // namespace bitmill

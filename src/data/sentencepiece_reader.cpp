// tokenizer.model of the sentencepiece library.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "data/chained_tokenizer.hpp"
#include "data/sentencepiece_model.hpp"
#include "data/tokenizer_config.hpp"
#include "data/tokenizer_kinds.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {
namespace {

constexpr uint64_t bpe = 2;

void check_supported(const SentencePieceFile& file, const std::string& path) {
  const auto refuse = [&](const char* what, const char* supported) {
    refuse_part(path, what, supported);
  };
  if (file.model_type != bpe) {
    refuse_part(path, fmt::format("the sentencepiece model type {}", file.model_type), "2, BPE");
  }
  if (file.has_character_map) refuse("a normalizer with a character map", "identity");
  if (file.whitespace_as_suffix) refuse("treat_whitespace_as_suffix", "false");
  if (file.remove_extra_whitespaces) refuse("remove_extra_whitespaces", "false");
  if (!file.escape_whitespaces) refuse("escape_whitespaces false", "true");
}

void check_class(const TokenizerConfig& config, bool adds_dummy_prefix) {
  const std::string& name = config.tokenizer_class;
  if (!name.empty() && name != "LlamaTokenizer" && name != "GemmaTokenizer") {
    refuse_part(config.path, "the tokenizer_class " + name + " with a tokenizer.model",
                "LlamaTokenizer, GemmaTokenizer; or save a tokenizer.json with transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)");
  }
  const bool prefixes_every_part = config.legacy && config.add_prefix_space.value_or(true);
  if (adds_dummy_prefix && !prefixes_every_part) {
    refuse_part(config.path, "\"legacy\" or \"add_prefix_space\" false with a tokenizer.model",
                "true; or save a tokenizer.json with transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)");
  }
}

// Unknown and control pieces are looked for in a text. transformers does so, the library does not.
void add_special_pieces(const SentencePieceFile& file, TokenizerConfig& config) {
  for (const SentencePieceFile::Piece& piece : file.pieces) {
    if (piece.type == PieceType::unknown || piece.type == PieceType::control) {
      config.add_special(piece.text);
    }
  }
}

}  // namespace

std::unique_ptr<Tokenizer> read_sentencepiece(Files& files, const std::string& folder,
                                              const std::string& content) {
  const std::string path = join_path(folder, "tokenizer.model");
  const SentencePieceFile file = read_sentencepiece_file(content, path);
  check_supported(file, path);
  TokenizerConfig config = read_tokenizer_config(files, folder);
  check_class(config, file.add_dummy_prefix);
  add_special_pieces(file, config);
  if (!config.bos_token) config.bos_token = "<s>";
  if (!config.eos_token) config.eos_token = "</s>";

  Normalizer normalizer(nullptr, path);
  auto model = make_sentencepiece_model(content, file, path);
  AddedTokens added(config.added_tokens, *model, normalizer, config.path);
  SequenceTemplate around = template_of(config, config.add_bos_token.value_or(true),
                                        config.add_eos_token.value_or(false), *model);
  return make_tokenizer({std::move(normalizer), std::move(model), std::move(added),
                         std::move(around), Decoder::sentencepiece(file.add_dummy_prefix)});
}

}  // namespace bitmill

// vocab.json and merges.txt.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/chained_tokenizer.hpp"
#include "data/tokenizer_config.hpp"
#include "data/tokenizer_kinds.hpp"
#include "data/word_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// What a class of transformers does beyond what the files say.
struct TokenizerClass {
  json normalizer;
  json pre_tokenizer;
};

json byte_level(bool add_prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"use_regex", use_regex}};
}

json qwen2_split() {
  constexpr const char* expression =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
      R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
  return {{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}};
}

// The class named in tokenizer_config.json, or the one that transformers takes for the model_type.
std::string class_name(Files& files, const std::string& folder, const TokenizerConfig& config) {
  if (!config.tokenizer_class.empty()) return config.tokenizer_class;
  const std::string path = join_path(folder, "config.json");
  if (!files.exists(path)) return "";
  const std::string type =
      json_string_or(parse_json(read_text(files, path), path), "model_type", "", path);
  if (type == "gpt2") return "GPT2Tokenizer";
  return type == "qwen2" || type == "qwen3" ? "Qwen2Tokenizer" : "";
}

TokenizerClass class_of(const std::string& name, const TokenizerConfig& config) {
  const bool prefix = config.add_prefix_space.value_or(false);
  if (name == "GPT2Tokenizer") return {nullptr, byte_level(prefix, true)};
  if (name == "Qwen2Tokenizer") {
    return {{{"type", "NFC"}},
            {{"type", "Sequence"}, {"pretokenizers", {qwen2_split(), byte_level(prefix, false)}}}};
  }
  throw FormatError(fmt::format(
      "{}: {}; what vocab.json and merges.txt mean is known for GPT2Tokenizer and Qwen2Tokenizer. "
      "Load and save the tokenizer once with the transformers package, which writes a "
      "tokenizer.json: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
      config.path,
      name.empty() ? "there is no tokenizer_class"
                   : fmt::format("the tokenizer_class is {}", name)));
}

std::vector<BpeTables::Merge> read_merges_lines(std::string_view text, const std::string& where) {
  std::vector<BpeTables::Merge> merges;
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    merges.push_back(read_merge(line, static_cast<int32_t>(merges.size()), where));
  }
  return merges;
}

}  // namespace

std::unique_ptr<Tokenizer> read_vocab_and_merges(Files& files, const std::string& folder) {
  TokenizerConfig config = read_tokenizer_config(files, folder);
  const std::string name = class_name(files, folder, config);
  const TokenizerClass parts = class_of(name, config);
  if (name == "GPT2Tokenizer" && !config.bos_token) config.add_special("<|endoftext|>");

  const std::string vocab_path = join_path(folder, "vocab.json");
  const std::string merges_path = join_path(folder, "merges.txt");
  const json vocabulary = parse_json(read_text(files, vocab_path), vocab_path);
  const std::string merges = read_text(files, merges_path);
  BpeTables tables;
  tables.tokens = read_vocabulary(vocabulary, vocab_path);
  tables.merges = read_merges_lines(merges, merges_path);
  tables.tokens_where = vocab_path;
  tables.merges_where = merges_path;

  Normalizer normalizer(parts.normalizer, config.path);
  auto model = std::make_unique<WordModel>(PreTokenizer(parts.pre_tokenizer, config.path), tables);
  AddedTokens added(config.added_tokens, *model, normalizer, config.path);
  SequenceTemplate around = template_of(config, config.add_bos_token.value_or(false),
                                        config.add_eos_token.value_or(false), *model);
  return make_tokenizer({std::move(normalizer), std::move(model), std::move(added),
                         std::move(around), Decoder({{"type", "ByteLevel"}}, config.path)});
}

}  // namespace bitmill

// tokenizer.model with the ranks of tiktoken: every line has a token, in base64, and its id, which
// is also its rank. Two neighbours merge when together they are a token, the lowest rank first.

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "base/error.hpp"
#include "data/byte_level.hpp"
#include "data/chained_tokenizer.hpp"
#include "data/tokenizer_config.hpp"
#include "data/tokenizer_kinds.hpp"
#include "data/word_model.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// The published file of LLaMA-3 has this many ranks, and no other published file has.
constexpr size_t llama3_ranks = 128000;
constexpr size_t longest_token = 128;  // bytes; LLaMA-3's own

constexpr const char* llama3_expression =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// From https://github.com/meta-llama/llama3, llama/tokenizer.py: 256 of them, from id 128,000 on;
// the rest is <|reserved_special_token_5|> to <|reserved_special_token_250|>.
constexpr std::array<const char*, 10> llama3_special = {"<|begin_of_text|>",
                                                        "<|end_of_text|>",
                                                        "<|reserved_special_token_0|>",
                                                        "<|reserved_special_token_1|>",
                                                        "<|reserved_special_token_2|>",
                                                        "<|reserved_special_token_3|>",
                                                        "<|start_header_id|>",
                                                        "<|end_header_id|>",
                                                        "<|reserved_special_token_4|>",
                                                        "<|eot_id|>"};
constexpr int llama3_special_count = 256;

struct RankedToken {
  std::string bytes;
  int32_t rank;
};

// The value of a base64 digit, -1 for another character.
int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    bytes += static_cast<char>(bits >> held & 0xFF);
  }
  return bytes;
}

std::optional<RankedToken> read_line(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == line.npos || space == 0) return std::nullopt;
  const std::optional<std::string> bytes = decode_base64(line.substr(0, space));
  const char* const end = line.data() + line.size();
  int32_t rank = -1;
  const auto [stopped, error] = std::from_chars(line.data() + space + 1, end, rank);
  if (!bytes || bytes->empty() || error != std::errc() || stopped != end || rank < 0) {
    return std::nullopt;
  }
  return RankedToken{*bytes, rank};
}

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

std::vector<RankedToken> read_ranks(std::string_view text, const std::string& path) {
  std::vector<RankedToken> ranks;
  for (int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = first_line(text);
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (line.empty()) continue;
    const std::optional<RankedToken> token = read_line(line);
    BITMILL_CHECK(token.has_value(), FormatError,
                  fmt::format("{}, line {}: \"{}\" is not a token in base64 and its rank", path,
                              number, line.substr(0, 80)));
    // Every way to cut a token in two is looked up: a very long token would take too long.
    BITMILL_CHECK(
        token->bytes.size() <= longest_token, FormatError,
        fmt::format("{}, line {}: a token of {} bytes; LLaMA-3 has none above {}. Get the "
                    "file again from where the model came from",
                    path, number, token->bytes.size(), longest_token));
    ranks.push_back(*token);
  }
  BITMILL_CHECK(
      ranks.size() == llama3_ranks, FormatError,
      fmt::format("{}: tiktoken ranks of {} tokens; only LLaMA-3's, {} tokens, are known, "
                  "because such a file does not say how a text is cut. Convert the "
                  "tokenizer to a tokenizer.json with the transformers package",
                  path, ranks.size(), llama3_ranks));
  return ranks;
}

// The tokens in the byte-level alphabet. Every way to make one token from two others is a merge.
class TiktokenTables {
 public:
  TiktokenTables(const std::vector<RankedToken>& ranks, const std::string& path) {
    spelled_.reserve(ranks.size());
    std::unordered_map<std::string_view, std::string_view> spelling_of;
    for (const RankedToken& token : ranks) {
      spelled_.push_back(bytes_to_characters(token.bytes));
      spelling_of.emplace(token.bytes, spelled_.back());
      tables_.tokens.emplace_back(spelled_.back(), token.rank);
    }
    for (const RankedToken& token : ranks) {
      const std::string_view bytes = token.bytes;
      for (size_t cut = 1; cut < bytes.size(); ++cut) {
        const auto left = spelling_of.find(bytes.substr(0, cut));
        const auto right = spelling_of.find(bytes.substr(cut));
        if (left == spelling_of.end() || right == spelling_of.end()) continue;
        tables_.merges.push_back({left->second, right->second, token.rank});
      }
    }
    tables_.options.ignore_merges = true;
    tables_.tokens_where = tables_.merges_where = path;
  }

  const BpeTables& tables() const { return tables_; }

 private:
  std::vector<std::string> spelled_;
  BpeTables tables_;
};

void add_llama3_tokens(TokenizerConfig& config) {
  for (int i = 0; i < llama3_special_count; ++i) {
    const int named = static_cast<int>(llama3_special.size());
    AddedToken token;
    token.content = i < named ? llama3_special[static_cast<size_t>(i)]
                              : fmt::format("<|reserved_special_token_{}|>", i - named + 5);
    token.id = static_cast<int64_t>(llama3_ranks) + i;
    token.special = true;
    config.add(token);
  }
}

}  // namespace

bool is_tiktoken(const std::string& content) { return read_line(first_line(content)).has_value(); }

std::unique_ptr<Tokenizer> read_tiktoken(Files& files, const std::string& folder,
                                         const std::string& content) {
  const std::string path = join_path(folder, "tokenizer.model");
  const std::vector<RankedToken> ranks = read_ranks(content, path);
  TokenizerConfig config = read_tokenizer_config(files, folder);
  // Later releases have other names for the same ids; their files then list these tokens.
  if (config.added_tokens.empty()) add_llama3_tokens(config);
  if (!config.bos_token) config.bos_token = llama3_special[0];

  const json split = {
      {"type", "Split"}, {"pattern", {{"Regex", llama3_expression}}}, {"behavior", "Isolated"}};
  const json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const json pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", {split, byte_level}}};
  Normalizer normalizer(nullptr, path);
  auto model = std::make_unique<WordModel>(PreTokenizer(pre_tokenizer, path),
                                           TiktokenTables(ranks, path).tables());
  AddedTokens added(config.added_tokens, *model, normalizer, config.path);
  SequenceTemplate around = template_of(config, config.add_bos_token.value_or(true),
                                        config.add_eos_token.value_or(false), *model);
  return make_tokenizer({std::move(normalizer), std::move(model), std::move(added),
                         std::move(around), Decoder({{"type", "ByteLevel"}}, path)});
}

}  // namespace bitmill

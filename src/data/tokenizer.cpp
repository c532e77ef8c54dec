#include "data/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/added_tokens.hpp"
#include "data/bpe.hpp"
#include "data/byte_level.hpp"
#include "data/decoder.hpp"
#include "data/normalizer.hpp"
#include "data/pre_tokenizer.hpp"
#include "data/sequence_template.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Longer words hardly come twice.
constexpr size_t longest_cached_word = 64;  // bytes

// The stages that a tokenizer.json names, in the order in which a text meets them.
class JsonTokenizer final : public Tokenizer {
 public:
  JsonTokenizer(const json& root, const std::string& path)
      : normalizer_(part(root, "normalizer"), path),
        pre_tokenizer_(part(root, "pre_tokenizer"), path),
        model_(part(root, "model"), path),
        added_(part(root, "added_tokens"), model_, normalizer_, path),
        template_(part(root, "post_processor"), path),
        decoder_(part(root, "decoder"), path) {}

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override;
  std::string decode(const std::vector<int32_t>& ids, bool skip_special) const override;
  int64_t vocab_size() const override {
    return int64_t{1} +
           std::max({model_.largest_id(), added_.largest_id(), template_.largest_id()});
  }

 private:
  // Ids of the words of one text that were seen before.
  struct WordCache {
    struct Range {
      size_t begin;
      size_t count;
    };
    std::unordered_map<std::string, Range> ranges;
    std::vector<int32_t> ids;
  };

  static const json& part(const json& root, const char* key) {
    static const json nothing;
    const auto found = root.find(key);
    return found == root.end() ? nothing : *found;
  }
  void encode_plain(std::string_view text, WordCache& cache, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, WordCache& cache, std::vector<int32_t>& ids) const;

  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  BpeModel model_;
  AddedTokens added_;
  SequenceTemplate template_;
  Decoder decoder_;
};

std::vector<int32_t> JsonTokenizer::encode(std::string_view text, bool add_special) const {
  const size_t invalid = first_invalid_utf8(text);
  BITMILL_CHECK(invalid == text.npos, FormatError,
                fmt::format("the text is not UTF-8: byte {} is 0x{:02X}, which cannot stand there; "
                            "convert it (iconv -t UTF-8)",
                            invalid, static_cast<uint8_t>(text[invalid])));
  std::vector<int32_t> ids;
  if (add_special) ids = template_.before();
  WordCache cache;
  const auto plain_segment = [&](std::string_view segment, std::optional<int32_t> added) {
    if (added) {
      ids.push_back(*added);
    } else {
      encode_plain(segment, cache, ids);
    }
  };
  added_.in_text().split(text, [&](std::string_view segment, std::optional<int32_t> added) {
    if (added) {
      ids.push_back(*added);
    } else if (normalizer_.is_identity()) {
      added_.in_normalized_text().split(segment, plain_segment);
    } else {
      added_.in_normalized_text().split(normalizer_.apply(segment), plain_segment);
    }
  });
  if (add_special) ids.insert(ids.end(), template_.after().begin(), template_.after().end());
  return ids;
}

void JsonTokenizer::encode_plain(std::string_view text, WordCache& cache,
                                 std::vector<int32_t>& ids) const {
  pre_tokenizer_.split(text, [&](std::string_view word) { encode_word(word, cache, ids); });
}

void JsonTokenizer::encode_word(std::string_view word, WordCache& cache,
                                std::vector<int32_t>& ids) const {
  const auto encode_anew = [&](std::vector<int32_t>& into) {
    if (pre_tokenizer_.is_byte_level()) {
      model_.encode(bytes_to_characters(word), into);
    } else {
      model_.encode(word, into);
    }
  };
  if (word.size() > longest_cached_word) {
    encode_anew(ids);
    return;
  }
  const auto [place, is_new] = cache.ranges.try_emplace(std::string(word));
  if (is_new) {
    const size_t begin = cache.ids.size();
    encode_anew(cache.ids);
    place->second = {begin, cache.ids.size() - begin};
  }
  const auto first = cache.ids.begin() + static_cast<std::ptrdiff_t>(place->second.begin);
  ids.insert(ids.end(), first, first + static_cast<std::ptrdiff_t>(place->second.count));
}

std::string JsonTokenizer::decode(const std::vector<int32_t>& ids, bool skip_special) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    std::optional<std::string_view> token = added_.token_of(id);
    if (!token) token = model_.token_of(id);
    if (!token || (skip_special && added_.is_special(*token))) continue;
    tokens.emplace_back(*token);
  }
  return decoder_.decode(std::move(tokens));
}

// What a folder without a tokenizer.json holds instead, for the error.
std::string other_tokenizer_files(Files& files, const std::string& folder) {
  std::string names;
  for (const char* name : {"tokenizer.model", "vocab.json", "merges.txt"}) {
    if (!files.exists(join_path(folder, name))) continue;
    names += names.empty() ? name : std::string(", ") + name;
  }
  return names;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(Files& files, const std::string& folder) {
  const std::string path = join_path(folder, "tokenizer.json");
  if (!files.exists(path)) {
    const std::string others = other_tokenizer_files(files, folder);
    throw FormatError(fmt::format(
        "{}: there is no tokenizer.json{}; bitmill reads only tokenizer.json today. To get one, "
        "load and save the tokenizer once with the transformers package: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        folder, others.empty() ? "" : fmt::format(" (there is {})", others)));
  }
  const json root = parse_json(read_text(files, path), path);
  BITMILL_CHECK(root.is_object(), FormatError, fmt::format("{}: must be an object", path));
  return std::make_unique<JsonTokenizer>(root, path);
}

}  // namespace bitmill

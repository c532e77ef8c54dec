#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/error.hpp"
#include "base/hash.hpp"
#include "base/json.hpp"
#include "data/corpus_sequences.hpp"
#include "data/corpus_text.hpp"
#include "data/token_file.hpp"

namespace bitmill {
namespace {

// To be raised when the same files begin to give other sequences.
constexpr const char* token_rules_version = "tokens 1";

// Where it is kept that the files were looked at as a whole, and their hash.
std::string token_index_path(Files& files, const CorpusOptions& options) {
  Hasher hasher;
  hasher.add_text(token_rules_version);
  hasher.add_text(std::to_string(options.vocab_size));
  for (const std::string& path : options.paths) {
    hasher.add_text(files.resolve(path));
    hasher.add_text(std::to_string(files.open(path)->size()));
  }
  return join_path(options.scratch_dir,
                   fmt::format("corpus-{}.tokens", hasher.hex().substr(0, 16)));
}

// Sequences are rows, or follow each other in a file that is one text.
class TokenSequences final : public CorpusSequences {
 public:
  TokenSequences(Files& files, const CorpusOptions& options)
      : options_(options), content_hash_(read_hash(files)) {
    for (const std::string& path : options.paths) add(files, path);
    training_ = rows();
    if (options.held_out_numerator == 0) return;
    BITMILL_CHECK(rows() >= 2, UsageError,
                  fmt::format("{} has one sequence of {} tokens, and one more is needed to be held "
                              "out: give more tokens",
                              options.paths.front(), options.seq_len));
    training_ = std::clamp<int64_t>(rows() - held_out_of(options, rows()), 1, rows() - 1);
  }

  int64_t count(CorpusPart part) const override {
    return part == CorpusPart::training ? training_ : rows() - training_;
  }

  std::vector<int32_t> sequence(CorpusPart part, int64_t number) const override {
    assert(0 <= number && number < count(part));
    const int64_t row = part == CorpusPart::training ? number : training_ + number;
    const auto behind = std::ranges::upper_bound(sources_, row, {}, &Source::first_row);
    const Source& source = *(behind - 1);
    const int64_t length = std::min(options_.seq_len, source.stride);
    auto ids = read_token_ids(*source.file, (row - source.first_row) * source.stride, length);
    for (const int32_t id : ids) {
      BITMILL_CHECK(id >= 0 && id < options_.vocab_size, FormatError,
                    fmt::format("{} was changed while it was read: row {} has the token id {}",
                                source.file->path(), row - source.first_row, id));
    }
    return ids;
  }

  std::string fingerprint() const override { return content_hash_; }
  std::vector<std::string> notes() const override {
    if (longest_row_ <= options_.seq_len) return {};
    return {fmt::format("rows have up to {} tokens, and only their first {} are used", longest_row_,
                        options_.seq_len)};
  }

 private:
  struct Source {
    std::unique_ptr<SafetensorsFile> file;
    int64_t first_row = 0;  // in the corpus
    int64_t stride = 0;     // tokens from a sequence to the next
  };

  int64_t rows() const { return rows_; }

  std::string read_hash(Files& files) const {
    const std::string path = token_index_path(files, options_);
    BITMILL_CHECK(files.exists(path), UsageError,
                  fmt::format("there is no {}: the files of the corpus were changed, or nobody has "
                              "prepared them on this host",
                              path));
    return json_string(parse_strict_json(read_text(files, path), path), "content", path);
  }

  void add(Files& files, const std::string& path) {
    Source source{std::make_unique<SafetensorsFile>(files, path), rows_, options_.seq_len};
    const Tokens shape = token_file_shape(*source.file);
    const int64_t ids = source.file->info(token_tensor).elements();
    if (shape.is_windows()) {
      source.stride = shape.window_len;
      longest_row_ = std::max(longest_row_, shape.window_len);
      BITMILL_CHECK(shape.window_len >= 2, FormatError,
                    fmt::format("{} has rows of one token: nothing follows it", path));
      BITMILL_CHECK(
          options_.cut == CorpusCut::documents || shape.window_len >= options_.seq_len, UsageError,
          fmt::format("{} has rows of {} tokens, shorter than the {} asked for: use --seq-len {} "
                      "or less, or another file",
                      path, shape.window_len, options_.seq_len, shape.window_len));
    } else {
      BITMILL_CHECK(options_.cut == CorpusCut::packed, UsageError,
                    fmt::format("{} is one text without borders between documents: use --pack, or "
                                "give a file with rows",
                                path));
    }
    const int64_t rows = shape.is_windows() ? shape.windows : ids / options_.seq_len;
    BITMILL_CHECK(rows >= 1, UsageError,
                  fmt::format("{} has {} tokens, fewer than one window of {}: use --seq-len {} or "
                              "less, or another file",
                              path, ids, options_.seq_len, ids));
    rows_ += rows;
    sources_.push_back(std::move(source));
  }

  const CorpusOptions options_;
  const std::string content_hash_;
  std::vector<Source> sources_;  // by first_row
  int64_t rows_ = 0, longest_row_ = 0;
  int64_t training_ = 0;  // rows; those behind them are held out
};

}  // namespace

bool holds_token_files(Files& files, const CorpusOptions& options) {
  const auto is_tokens = [&](const std::string& path) { return is_token_file(files, path); };
  const auto other = std::ranges::find_if_not(options.paths, is_tokens);
  if (other == options.paths.end()) return true;
  const auto tokens = std::ranges::find_if(options.paths, is_tokens);
  BITMILL_CHECK(
      tokens == options.paths.end(), UsageError,
      fmt::format("{} is a token file, and {} is none: give files of one kind", *tokens, *other));
  return false;
}

// Files that are there already are looked at once more: they may have changed.
void prepare_token_files(Files& files, const CorpusOptions& options,
                         const CorpusProgress& progress) {
  BITMILL_CHECK(options.text_key.empty(), UsageError,
                fmt::format("--text-key {} has no effect: {} is a token file", options.text_key,
                            options.paths.front()));
  const std::string path = token_index_path(files, options);
  Hasher hasher;
  hasher.add_text(token_rules_version);
  for (const std::string& source : options.paths) {
    const SafetensorsFile file(files, source);
    hasher.add(std::as_bytes(std::span(file.info(token_tensor).shape)));
    visit_token_file(file, options.vocab_size, [&](std::span<const int32_t> ids) {
      hasher.add(std::as_bytes(ids));
      progress(static_cast<int64_t>(ids.size_bytes()));
    });
  }
  files.make_directories(options.scratch_dir);
  replace_file(files, path, json_text({{"content", hasher.hex()}}));
}

void remove_prepared_token_files(Files& files, const CorpusOptions& options) {
  const std::string path = token_index_path(files, options);
  if (files.exists(path)) files.remove(path);
}

bool token_files_are_prepared(Files& files, const CorpusOptions& options) {
  return files.exists(token_index_path(files, options));
}

std::unique_ptr<CorpusSequences> open_token_sequences(Files& files, const CorpusOptions& options) {
  return std::make_unique<TokenSequences>(files, options);
}

}  // namespace bitmill

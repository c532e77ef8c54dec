#include "data/sentencepiece_model.hpp"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <limits>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"
#include "data/token_model.hpp"
#include "data/word_cache.hpp"

namespace bitmill {
namespace {

// Number of bytes of `text` before the first space that is behind a character other than a space.
size_t bytes_before_space(std::string_view text) {
  for (size_t at = text.find(' ', 1); at != text.npos; at = text.find(' ', at + 1)) {
    const std::string_view before = text.substr(0, at);
    if (!before.ends_with(' ') && !before.ends_with(word_space)) return at;
  }
  return text.size();
}

class SentencePieceModel final : public TokenModel {
 public:
  SentencePieceModel(const std::string& content, SentencePieceFile file, const std::string& path)
      : path_(path), file_(std::move(file)) {
    const auto status = processor_.LoadFromSerializedProto(content);
    BITMILL_CHECK(
        status.ok(), FormatError,
        fmt::format("{}: the sentencepiece library refuses it: {}", path, status.ToString()));
    for (size_t id = 0; id < file_.pieces.size(); ++id) {
      id_of_.emplace(file_.pieces[id].text, static_cast<int32_t>(id));
    }
    BITMILL_CHECK(processor_.GetPieceSize() == token_count(), FormatError,
                  fmt::format("{}: has {} pieces, and the sentencepiece library finds {}", path,
                              token_count(), processor_.GetPieceSize()));
    cuts_at_spaces_ = may_cut_at_spaces();
  }

  // The library treats a whole text as one word. Where that may be cut before a space, each part is
  // encoded alone: the library's dummy prefix takes the place of its space. Parts that were seen
  // before come from a cache.
  void encode(std::string_view text, bool, std::vector<int32_t>& ids) const override {
    if (!cuts_at_spaces_) return encode_part(text, ids);
    std::unique_ptr<WordCache> cache = caches_.take();
    const auto anew = [&](std::string_view part, std::vector<int32_t>& into) {
      encode_part(part, into);
    };
    for (bool is_first = true; !text.empty(); is_first = false) {
      const size_t bytes = bytes_before_space(text);
      std::string_view part = text.substr(0, bytes);
      text.remove_prefix(bytes);
      if (!is_first) part.remove_prefix(1);
      if (part.empty()) {
        ids.push_back(*id_of(word_space));  // the library gives an empty text no prefix
      } else {
        cache->append(part, ids, anew);
      }
    }
    caches_.give_back(std::move(cache));
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    const auto found = id_of_.find(token);
    return found == id_of_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::string_view> token_of(int32_t id) const override {
    if (id < 0 || id >= token_count()) return std::nullopt;
    return file_.pieces[static_cast<size_t>(id)].text;
  }
  int32_t token_count() const override { return static_cast<int32_t>(file_.pieces.size()); }
  int32_t largest_id() const override { return token_count() - 1; }

 private:
  void encode_part(std::string_view text, std::vector<int32_t>& ids) const {
    BITMILL_CHECK(
        text.size() < std::numeric_limits<int32_t>::max(), FormatError,
        fmt::format("a text of {} bytes in one piece: the sentencepiece library takes up to "
                    "2^31 - 2; cut the text into several files",
                    text.size()));
    std::vector<int> pieces;
    const auto status = processor_.Encode(text, &pieces);
    BITMILL_CHECK(status.ok(), Error,
                  fmt::format("{}: the sentencepiece library fails on a text of {} bytes: {}",
                              path_, text.size(), status.ToString()));
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  }

  // Whether a text may be cut before every space that is behind another character. It may when no
  // piece holds a space behind another character, and there are no user-defined pieces, which the
  // library looks for first.
  bool may_cut_at_spaces() const {
    if (!file_.add_dummy_prefix || !id_of(word_space)) return false;
    for (const SentencePieceFile::Piece& piece : file_.pieces) {
      if (piece.type == PieceType::user_defined) return false;
      if (holds_behind_another(piece.text, word_space)) return false;
    }
    return true;
  }

  const std::string path_;
  const SentencePieceFile file_;
  std::unordered_map<std::string_view, int32_t> id_of_;  // points into file_
  sentencepiece::SentencePieceProcessor processor_;
  bool cuts_at_spaces_ = false;
  mutable WordCaches caches_;
};

}  // namespace

std::unique_ptr<TokenModel> make_sentencepiece_model(const std::string& content,
                                                     SentencePieceFile file,
                                                     const std::string& path) {
  return std::make_unique<SentencePieceModel>(content, std::move(file), path);
}

}  // namespace bitmill

#include "data/sentencepiece_model.hpp"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <limits>
#include <unordered_map>
#include <utility>

#include "base/error.hpp"

namespace bitmill {
namespace {

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
  }

  void encode(std::string_view text, bool, std::vector<int32_t>& ids) const override {
    BITMILL_CHECK(
        text.size() < std::numeric_limits<int32_t>::max(), FormatError,
        fmt::format("a text of {} bytes without an added token: the sentencepiece library "
                    "takes up to 2^31 - 2; cut the text into several files",
                    text.size()));
    std::vector<int> pieces;
    const auto status = processor_.Encode(text, &pieces);
    BITMILL_CHECK(status.ok(), Error,
                  fmt::format("{}: the sentencepiece library fails on a text of {} bytes: {}",
                              path_, text.size(), status.ToString()));
    ids.insert(ids.end(), pieces.begin(), pieces.end());
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
  const std::string path_;
  const SentencePieceFile file_;
  std::unordered_map<std::string_view, int32_t> id_of_;  // points into file_
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<TokenModel> make_sentencepiece_model(const std::string& content,
                                                     SentencePieceFile file,
                                                     const std::string& path) {
  return std::make_unique<SentencePieceModel>(content, std::move(file), path);
}

}  // namespace bitmill

#include "data/chained_tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

class ChainedTokenizer final : public Tokenizer {
 public:
  explicit ChainedTokenizer(TokenizerChain chain) : chain_(std::move(chain)) {}

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override;
  std::vector<int32_t> ids_before_text() const override {
    return chain_.sequence_template.before();
  }
  std::string decode(const std::vector<int32_t>& ids, bool skip_special) const override;
  std::unique_ptr<TextStream> start_decoding(bool skip_special) const override;
  int64_t vocab_size() const override {
    return int64_t{1} + std::max({chain_.model->largest_id(), chain_.added.largest_id(),
                                  chain_.sequence_template.largest_id()});
  }

  // The token to decode for `id`; nothing when it is left out.
  std::optional<std::string_view> token_to_decode(int32_t id, bool skip_special) const;
  DecodeStream decode_stream() const { return chain_.decoder.start(); }

 private:
  void encode_segment(std::string_view segment, bool begins_text, std::vector<int32_t>& ids) const;

  const TokenizerChain chain_;
};

class ChainedTextStream final : public TextStream {
 public:
  ChainedTextStream(const ChainedTokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), skip_special_(skip_special), stream_(tokenizer.decode_stream()) {}

  std::string push(int32_t id) override {
    const auto token = tokenizer_.token_to_decode(id, skip_special_);
    return token ? stream_.push(*token) : "";
  }
  std::string finish() override { return stream_.finish(); }

 private:
  const ChainedTokenizer& tokenizer_;
  const bool skip_special_;
  DecodeStream stream_;
};

std::vector<int32_t> ChainedTokenizer::encode(std::string_view text, bool add_special) const {
  const size_t invalid = first_invalid_utf8(text);
  BITMILL_CHECK(invalid == text.npos, FormatError,
                fmt::format("the text is not UTF-8: byte {} is 0x{:02X}, which cannot stand there; "
                            "convert it (iconv -t UTF-8)",
                            invalid, static_cast<uint8_t>(text[invalid])));
  const SequenceTemplate& around = chain_.sequence_template;
  std::vector<int32_t> ids;
  if (add_special) ids = around.before();
  chain_.added.in_text().split(text, [&](std::string_view part, std::optional<int32_t> added) {
    if (added) {
      ids.push_back(*added);
    } else {
      encode_segment(part, part.data() == text.data(), ids);
    }
  });
  if (add_special) ids.insert(ids.end(), around.after().begin(), around.after().end());
  return ids;
}

// A part of the text between two added tokens that are not looked for in the normalized text.
void ChainedTokenizer::encode_segment(std::string_view segment, bool begins_text,
                                      std::vector<int32_t>& ids) const {
  std::string normalized;
  if (!chain_.normalizer.is_identity()) segment = normalized = chain_.normalizer.apply(segment);
  chain_.added.in_normalized_text().split(
      segment, [&](std::string_view part, std::optional<int32_t> added) {
        if (added) {
          ids.push_back(*added);
        } else {
          chain_.model->encode(part, begins_text && part.data() == segment.data(), ids);
        }
      });
}

std::optional<std::string_view> ChainedTokenizer::token_to_decode(int32_t id,
                                                                  bool skip_special) const {
  std::optional<std::string_view> token = chain_.added.token_of(id);
  if (!token) token = chain_.model->token_of(id);
  if (token && skip_special && chain_.added.is_special(*token)) return std::nullopt;
  return token;
}

std::string ChainedTokenizer::decode(const std::vector<int32_t>& ids, bool skip_special) const {
  ChainedTextStream stream(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  text += stream.finish();
  return text;
}

std::unique_ptr<TextStream> ChainedTokenizer::start_decoding(bool skip_special) const {
  return std::make_unique<ChainedTextStream>(*this, skip_special);
}

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(TokenizerChain chain) {
  return std::make_unique<ChainedTokenizer>(std::move(chain));
}

}  // namespace bitmill

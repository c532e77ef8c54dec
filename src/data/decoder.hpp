#pragma once
// From tokens back to a text, token by token.

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "data/decode_step.hpp"

namespace bitmill {

// Decodes the tokens of one text, one after the other. Each call returns the text that is certain
// by then.
class DecodeStream {
 public:
  // `chain` begins with the last step, which writes to `text`; every other step writes to the step
  // before it in `chain`.
  DecodeStream(std::unique_ptr<std::string> text, std::vector<std::unique_ptr<DecodeStep>> chain);

  // The text that is certain after this token, often the token's own. Empty while a character is
  // incomplete.
  std::string push(std::string_view token);
  // The rest. Nothing may be pushed after it.
  std::string finish();

 private:
  std::unique_ptr<std::string> text_;  // where the last step writes
  std::vector<std::unique_ptr<DecodeStep>> chain_;
};

class Decoder {
 public:
  // The "decoder" of a tokenizer.json. Null puts a space between tokens. FormatError for what is
  // not supported.
  Decoder(const nlohmann::json& decoder, const std::string& file);
  // Decodes like the sentencepiece library. U+2581 becomes a space; with `strips_first_space`, one
  // space at the beginning of the text is removed. In a run of byte tokens, the bytes that make no
  // character become U+FFFD.
  static Decoder sentencepiece(bool strips_first_space);

  DecodeStream start() const;

 private:
  enum class Kind {
    byte_level,
    byte_fallback,
    sentencepiece_bytes,
    fuse,
    replace,
    strip,
    metaspace
  };
  struct Step {
    Kind kind = Kind::fuse;
    std::string pattern;  // replace, metaspace: what is replaced
    std::string content;  // replace: the replacement; strip: the character that is removed
    int64_t start = 0;    // strip: at most so many at the beginning of every token
    int64_t stop = 0;     // strip: at most so many at its end
    bool first = false;   // metaspace: the first token loses its spaces
  };
  Decoder() = default;
  static Step read_step(const nlohmann::json& leaf, const std::string& where);
  static Step read_strip(const nlohmann::json& leaf, const std::string& where);
  static Step read_metaspace(const nlohmann::json& leaf, const std::string& where);
  static std::unique_ptr<DecodeStep> make_step(const Step& step, DecodeStep& next);

  std::vector<Step> steps_;
  bool joins_with_space_ = false;
};

}  // namespace bitmill

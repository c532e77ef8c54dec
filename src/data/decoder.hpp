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

// The tokens of one text, one after the other, each with what of the text is certain by then.
class DecodeStream {
 public:
  // `chain` from the last, which writes to `text`, to the first, each writing to the one before.
  DecodeStream(std::unique_ptr<std::string> text, std::vector<std::unique_ptr<DecodeStep>> chain);

  // The text that this token settles, often its own; empty while a character is incomplete.
  std::string push(std::string_view token);
  // The rest. Nothing may be pushed after it.
  std::string finish();

 private:
  std::unique_ptr<std::string> text_;  // where the last step writes
  std::vector<std::unique_ptr<DecodeStep>> chain_;
};

class Decoder {
 public:
  // The "decoder" of a tokenizer.json, or null, which puts a space between tokens. FormatError for
  // what is not supported.
  Decoder(const nlohmann::json& decoder, const std::string& where);
  // As the sentencepiece library decodes: U+2581 is a space, one of which goes at the very
  // beginning when `strips_first_space`; of a run of byte tokens, the bytes that make no character
  // become U+FFFD.
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
    std::string pattern;  // replace, metaspace: what goes
    std::string content;  // replace: what comes instead; strip: the character that goes
    int64_t start = 0;    // strip: at most so many at the beginning of every token
    int64_t stop = 0;     // strip: and at its end
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

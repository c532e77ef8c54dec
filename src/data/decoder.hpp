#pragma once
// From tokens back to a text.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace bitmill {

class Decoder {
 public:
  // The "decoder" of a tokenizer.json, or null, which puts a space between tokens. FormatError for
  // what is not supported.
  Decoder(const nlohmann::json& decoder, const std::string& where);

  std::string decode(std::vector<std::string> tokens) const;

 private:
  enum class Kind { byte_level, byte_fallback, fuse, replace, strip };
  struct Step {
    Kind kind = Kind::fuse;
    std::string pattern;  // replace
    std::string content;  // replace: what comes instead; strip: the character that goes
    int64_t start = 0;    // strip: at most so many at the beginning of every token
    int64_t stop = 0;     // strip: and at its end
  };
  static Step read_step(const nlohmann::json& leaf, const std::string& where);

  std::vector<Step> steps_;
  bool joins_with_space_ = false;
};

}  // namespace bitmill

#pragma once
// The steps of decoding. Each takes the tokens of a text and hands to the next what it makes of
// them as soon as nothing that follows can change it: decoding a whole text and decoding it token
// by token are one thing.
//
// A token comes as any number of add() and one end_token(); what add() gets is whole characters of
// valid UTF-8. finish() comes once, after the last token.

#include <memory>
#include <string>
#include <string_view>

namespace bitmill {

class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void add(std::string_view part) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;
};

// The last: appends to `text`, with `between` between tokens. `text` outlives it, as `next`
// outlives every other stage.
std::unique_ptr<DecodeStage> make_text_stage(std::string& text, std::string between);

// All tokens become one, whose bytes the byte-level alphabet spells; those that make no character
// become U+FFFD.
std::unique_ptr<DecodeStage> make_byte_level_stage(DecodeStage& next);

// What becomes of a run of tokens "<0xHH>" that is not valid UTF-8: all of it one U+FFFD per byte
// (the `tokenizers` package), or the bytes only that make no character (sentencepiece).
enum class BadBytes { spoil_the_run, stand_alone };
std::unique_ptr<DecodeStage> make_byte_fallback_stage(BadBytes bad_bytes, DecodeStage& next);

// All tokens become one.
std::unique_ptr<DecodeStage> make_fuse_stage(DecodeStage& next);

// In every token, `content` for every `pattern`, which is not empty.
std::unique_ptr<DecodeStage> make_replace_stage(std::string pattern, std::string content,
                                                DecodeStage& next);

// From every token, up to `start` times the character from its beginning, `stop` times from its
// end.
std::unique_ptr<DecodeStage> make_strip_stage(std::string character, int64_t start, int64_t stop,
                                              DecodeStage& next);

// A space for every `space`; nothing in the first token, when `first_loses_spaces`.
std::unique_ptr<DecodeStage> make_metaspace_stage(std::string space, bool first_loses_spaces,
                                                  DecodeStage& next);

}  // namespace bitmill

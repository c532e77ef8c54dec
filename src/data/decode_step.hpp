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

class DecodeStep {
 public:
  virtual ~DecodeStep() = default;
  virtual void add(std::string_view part) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;
};

// The last: appends to `text`, with `between` between tokens. `text` outlives it, as `next`
// outlives every other step.
std::unique_ptr<DecodeStep> make_text_step(std::string& text, std::string between);

// All tokens become one, whose bytes the byte-level alphabet spells; those that make no character
// become U+FFFD. This one and the next, which know bytes, are in decode_bytes.cpp.
std::unique_ptr<DecodeStep> make_byte_level_step(DecodeStep& next);

// What becomes of a run of tokens "<0xHH>" that is not valid UTF-8: all of it one U+FFFD per byte
// (the `tokenizers` package), or the bytes only that make no character (sentencepiece).
enum class BadBytes { spoil_the_run, stand_alone };
std::unique_ptr<DecodeStep> make_byte_fallback_step(BadBytes bad_bytes, DecodeStep& next);

// All tokens become one.
std::unique_ptr<DecodeStep> make_fuse_step(DecodeStep& next);

// In every token, `content` for every `pattern`, which is not empty.
std::unique_ptr<DecodeStep> make_replace_step(std::string pattern, std::string content,
                                              DecodeStep& next);

// From every token, up to `start` times the character from its beginning, `stop` times from its
// end.
std::unique_ptr<DecodeStep> make_strip_step(std::string character, int64_t start, int64_t stop,
                                            DecodeStep& next);

// A space for every `space`; nothing in the first token, when `first_loses_spaces`.
std::unique_ptr<DecodeStep> make_metaspace_step(std::string space, bool first_loses_spaces,
                                                DecodeStep& next);

}  // namespace bitmill

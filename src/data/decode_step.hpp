#pragma once
// The steps of decoding. A step takes the tokens of a text and hands its result to the next step as
// soon as later tokens cannot change it. So decoding a whole text and decoding it token by token
// use the same code.
//
// A token comes as any number of add() calls and one end_token(). add() gets whole characters of
// valid UTF-8. finish() is called once, after the last token.

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

// The last step: appends to `text`, with `between` between tokens. `text` must outlive it, and
// `next` every other step.
std::unique_ptr<DecodeStep> make_text_step(std::string& text, std::string between);

// All tokens become one. Their characters are those of the byte-level alphabet and are turned into
// bytes; bytes that make no character become U+FFFD. This step and the next one, which work with
// bytes, are in decode_bytes.cpp.
std::unique_ptr<DecodeStep> make_byte_level_step(DecodeStep& next);

// How a run of tokens "<0xHH>" that is not valid UTF-8 is decoded. spoil_the_run: every byte of the
// run becomes U+FFFD (as in the `tokenizers` package). stand_alone: only the bytes that make no
// character do (as in sentencepiece).
enum class BadBytes { spoil_the_run, stand_alone };
std::unique_ptr<DecodeStep> make_byte_fallback_step(BadBytes bad_bytes, DecodeStep& next);

// All tokens become one.
std::unique_ptr<DecodeStep> make_fuse_step(DecodeStep& next);

// Replaces every `pattern` in every token by `content`. REQUIRES: `pattern` is not empty.
std::unique_ptr<DecodeStep> make_replace_step(std::string pattern, std::string content,
                                              DecodeStep& next);

// Removes `character` from every token: up to `start` times at its beginning and up to `stop` times
// at its end.
std::unique_ptr<DecodeStep> make_strip_step(std::string character, int64_t start, int64_t stop,
                                            DecodeStep& next);

// Replaces every `space` by a blank; in the first token by nothing, when `first_loses_spaces`.
std::unique_ptr<DecodeStep> make_metaspace_step(std::string space, bool first_loses_spaces,
                                                DecodeStep& next);

}  // namespace bitmill

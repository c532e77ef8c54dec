#pragma once
// The text of tokens that a model generates, as it comes, and where it ends.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer.hpp"
#include "infer/sampler.hpp"
#include "infer/stop_texts.hpp"

namespace bitmill {

struct GenerateSettings {
  int64_t max_tokens = 1;  // >= 1
  SamplerSettings sampler = {};
  std::vector<int32_t> end_tokens = {};
  std::vector<std::string> stop_texts = {};  // none empty
  // The text goes on where the prompt's ends: a space in front of its first word is part of it.
  // Otherwise it is a text of its own, as the answer in a chat.
  bool continues_prompt = true;
};

enum class Finish {
  end_token,   // the model ended its text
  stop_text,   // one of settings.stop_texts came
  max_tokens,  // settings.max_tokens were generated
  no_room      // the session is full
};
std::string_view name_of(Finish finish);  // for scripts: "end", "stop", "length", "context"

class WrittenText {
 public:
  // `prompt` is decoded in front of the new tokens where the text continues it, and not shown. The
  // tokenizer must outlive this object.
  WrittenText(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
              const GenerateSettings& settings);

  // The next token that was generated. has_room: the session can take it, so that another can
  // follow. Returns the text that can be shown now: whole characters, in which no stop text can
  // begin. REQUIRES: !finish().
  std::string push(int32_t id, bool has_room);
  // Why the text ends with the last token; nothing: it goes on.
  std::optional<Finish> finish() const { return finish_; }
  int64_t tokens() const { return tokens_; }  // pushed, the end token included

 private:
  std::string without_prompt(std::string text);
  void finish_after(bool has_room);

  std::vector<int32_t> end_tokens_;
  int64_t max_tokens_;
  std::unique_ptr<TextStream> stream_;
  std::string hidden_;  // the end of the prompt's text, which the stream still holds back
  StopTexts stops_;
  int64_t tokens_ = 0;
  std::optional<Finish> finish_;
};

}  // namespace bitmill

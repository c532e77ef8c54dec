#include "infer/written_text.hpp"

#include <algorithm>
#include <cassert>

namespace bitmill {

std::string_view name_of(Finish finish) {
  switch (finish) {
    case Finish::end_token:
      return "end";
    case Finish::stop_text:
      return "stop";
    case Finish::max_tokens:
      return "length";
    case Finish::no_room:
      return "context";
  }
  return {};
}

WrittenText::WrittenText(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                         const GenerateSettings& settings)
    : end_tokens_(settings.end_tokens),
      max_tokens_(settings.max_tokens),
      stream_(tokenizer.start_decoding(/*skip_special=*/true)),
      stops_(settings.stop_texts) {
  if (!settings.continues_prompt) return;
  size_t shown = 0;
  for (const int32_t id : prompt) shown += stream_->push(id).size();
  const std::vector<int32_t> ids(prompt.begin(), prompt.end());
  const std::string whole = tokenizer.decode(ids, /*skip_special=*/true);
  hidden_ = whole.substr(std::min(whole.size(), shown));
}

std::string WrittenText::push(int32_t id, bool has_room) {
  assert(!finish_);
  ++tokens_;
  std::string shown;
  if (std::ranges::find(end_tokens_, id) != end_tokens_.end()) {
    finish_ = Finish::end_token;
  } else {
    shown = stops_.push(without_prompt(stream_->push(id)));
    finish_after(has_room);
  }
  if (finish_ && !stops_.found()) {
    shown += stops_.push(without_prompt(stream_->finish()));
    shown += stops_.finish();
  }
  return shown;
}

void WrittenText::finish_after(bool has_room) {
  if (stops_.found()) {
    finish_ = Finish::stop_text;
  } else if (tokens_ == max_tokens_) {
    finish_ = Finish::max_tokens;
  } else if (!has_room) {
    finish_ = Finish::no_room;
  }
}

// The end of the prompt's text may come with the first new tokens. It may also come as another
// text: a prompt that ends inside a character ends in U+FFFD, until new tokens complete it. Then
// the character is new.
std::string WrittenText::without_prompt(std::string text) {
  const size_t longest = std::min(hidden_.size(), text.size());
  size_t same = 0;
  while (same < longest && text[same] == hidden_[same]) ++same;
  if (same == longest) {
    hidden_.erase(0, same);
    return text.substr(same);
  }
  hidden_.clear();
  while (same > 0 && (static_cast<unsigned char>(text[same]) & 0xC0) == 0x80) --same;
  return text.substr(same);
}

}  // namespace bitmill

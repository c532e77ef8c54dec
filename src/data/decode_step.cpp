#include "data/decode_step.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "data/normalizer.hpp"

namespace bitmill {
namespace {

class TextStep final : public DecodeStep {
 public:
  TextStep(std::string& text, std::string between) : text_(text), between_(std::move(between)) {}

  void add(std::string_view part) override {
    begin_token();
    text_ += part;
  }
  void end_token() override {
    begin_token();
    in_token_ = false;
  }
  void finish() override {}

 private:
  void begin_token() {
    if (in_token_) return;
    if (!is_first_) text_ += between_;
    is_first_ = false;
    in_token_ = true;
  }

  std::string& text_;
  const std::string between_;
  bool is_first_ = true;
  bool in_token_ = false;
};

class FuseStep final : public DecodeStep {
 public:
  explicit FuseStep(DecodeStep& next) : next_(next) {}

  void add(std::string_view part) override { next_.add(part); }
  void end_token() override {}
  void finish() override {
    next_.end_token();
    next_.finish();
  }

 private:
  DecodeStep& next_;
};

class ReplaceStep final : public DecodeStep {
 public:
  ReplaceStep(std::string pattern, std::string content, DecodeStep& next)
      : pattern_(std::move(pattern)), content_(std::move(content)), next_(next) {}

  void add(std::string_view part) override {
    held_ += part;
    size_t done = 0;
    for (size_t at = held_.find(pattern_); at != held_.npos; at = held_.find(pattern_, done)) {
      next_.add(std::string_view(held_).substr(done, at - done));
      next_.add(content_);
      done = at + pattern_.size();
    }
    const size_t undecided = held_.size() - undecided_bytes(std::string_view(held_).substr(done));
    next_.add(std::string_view(held_).substr(done, undecided - done));
    held_.erase(0, undecided);
  }
  void end_token() override {
    next_.add(held_);
    held_.clear();
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  // Length of the longest end of `text` that is the beginning of a pattern.
  size_t undecided_bytes(std::string_view text) const {
    for (size_t bytes = std::min(text.size(), pattern_.size() - 1); bytes > 0; --bytes) {
      if (text.ends_with(std::string_view(pattern_).substr(0, bytes))) return bytes;
    }
    return 0;
  }

  const std::string pattern_;
  const std::string content_;
  DecodeStep& next_;
  std::string held_;
};

class StripStep final : public DecodeStep {
 public:
  StripStep(std::string character, int64_t start, int64_t stop, DecodeStep& next)
      : character_(std::move(character)), start_(start), stop_(stop), next_(next) {}

  void add(std::string_view part) override {
    while (at_start_ && !part.empty()) {
      if (stripped_ < start_ && part.starts_with(character_)) {
        part.remove_prefix(character_.size());
        ++stripped_;
      } else {
        at_start_ = false;
      }
    }
    size_t plain = part.size();
    int64_t trailing = 0;  // of the character, at the end of this part
    while (stop_ > 0 && part.substr(0, plain).ends_with(character_)) {
      plain -= character_.size();
      ++trailing;
    }
    if (plain > 0) {
      release(held_);
      next_.add(part.substr(0, plain));
    }
    held_ += trailing;
    if (held_ > stop_) release(held_ - stop_);
  }
  void end_token() override {
    held_ = stripped_ = 0;
    at_start_ = true;
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  void release(int64_t count) {
    for (int64_t i = 0; i < count; ++i) next_.add(character_);
    held_ -= count;
  }

  const std::string character_;
  const int64_t start_;
  const int64_t stop_;
  DecodeStep& next_;
  bool at_start_ = true;
  int64_t stripped_ = 0;
  int64_t held_ = 0;  // held-back repetitions of the character: dropped if the token ends here
};

class MetaspaceStep final : public DecodeStep {
 public:
  MetaspaceStep(std::string space, bool first_loses_spaces, DecodeStep& next)
      : space_(std::move(space)), loses_spaces_(first_loses_spaces), next_(next) {}

  void add(std::string_view part) override {
    next_.add(replace_all(part, space_, loses_spaces_ ? "" : " "));
  }
  void end_token() override {
    loses_spaces_ = false;
    next_.end_token();
  }
  void finish() override { next_.finish(); }

 private:
  const std::string space_;
  bool loses_spaces_;
  DecodeStep& next_;
};

}  // namespace

std::unique_ptr<DecodeStep> make_text_step(std::string& text, std::string between) {
  return std::make_unique<TextStep>(text, std::move(between));
}

std::unique_ptr<DecodeStep> make_fuse_step(DecodeStep& next) {
  return std::make_unique<FuseStep>(next);
}

std::unique_ptr<DecodeStep> make_replace_step(std::string pattern, std::string content,
                                              DecodeStep& next) {
  return std::make_unique<ReplaceStep>(std::move(pattern), std::move(content), next);
}

std::unique_ptr<DecodeStep> make_strip_step(std::string character, int64_t start, int64_t stop,
                                            DecodeStep& next) {
  return std::make_unique<StripStep>(std::move(character), start, stop, next);
}

std::unique_ptr<DecodeStep> make_metaspace_step(std::string space, bool first_loses_spaces,
                                                DecodeStep& next) {
  return std::make_unique<MetaspaceStep>(std::move(space), first_loses_spaces, next);
}

}  // namespace bitmill

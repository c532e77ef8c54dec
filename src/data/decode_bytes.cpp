// Those steps of decode_step.hpp that make characters from bytes.

#include <charconv>
#include <optional>

#include "data/byte_level.hpp"
#include "data/decode_step.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

class ByteLevelStep final : public DecodeStep {
 public:
  explicit ByteLevelStep(DecodeStep& next) : next_(next) {}

  void add(std::string_view part) override { token_ += part; }
  void end_token() override {
    append_token_bytes(token_, bytes_);
    token_.clear();
    const size_t settled = bytes_.size() - incomplete_utf8_bytes(bytes_);
    next_.add(replace_invalid_utf8(std::string_view(bytes_).substr(0, settled)));
    bytes_.erase(0, settled);
  }
  void finish() override {
    next_.add(replace_invalid_utf8(bytes_));
    next_.end_token();
    next_.finish();
  }

 private:
  DecodeStep& next_;
  std::string token_;
  std::string bytes_;  // of a character that may be incomplete
};

// "<0x41>" -> 'A'.
std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto [stopped, error] = std::from_chars(token.data() + 3, end, byte, 16);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return static_cast<char>(byte);
}

class ByteFallbackStep final : public DecodeStep {
 public:
  ByteFallbackStep(BadBytes bad_bytes, DecodeStep& next) : bad_bytes_(bad_bytes), next_(next) {}

  void add(std::string_view part) override { token_ += part; }
  void end_token() override {
    if (const std::optional<char> byte = byte_of_token(token_)) {
      run_ += *byte;
      if (bad_bytes_ == BadBytes::stand_alone) hand_on_alone(incomplete_utf8_bytes(run_));
    } else {
      end_run();
      hand_on(token_);
    }
    token_.clear();
  }
  void finish() override {
    end_run();
    next_.finish();
  }

 private:
  void hand_on(std::string_view token) {
    next_.add(token);
    next_.end_token();
  }

  void end_run() {
    if (bad_bytes_ == BadBytes::stand_alone) {
      hand_on_alone(0);
    } else if (first_invalid_utf8(run_) == run_.npos) {
      if (!run_.empty()) hand_on(run_);
    } else {
      for (size_t i = 0; i < run_.size(); ++i) hand_on(replacement_character);
    }
    run_.clear();
  }

  // Hands on every character of the run, except in its last `kept` bytes.
  void hand_on_alone(size_t kept) {
    size_t at = 0;
    while (run_.size() - at > kept) {
      const Utf8Step step = next_utf8(std::string_view(run_).substr(at));
      hand_on(step.valid ? std::string_view(run_).substr(at, step.bytes) : replacement_character);
      at += step.valid ? step.bytes : 1;
    }
    run_.erase(0, at);
  }

  const BadBytes bad_bytes_;
  DecodeStep& next_;
  std::string token_;
  std::string run_;  // the bytes of the last tokens "<0xHH>" in a row
};

}  // namespace

std::unique_ptr<DecodeStep> make_byte_level_step(DecodeStep& next) {
  return std::make_unique<ByteLevelStep>(next);
}

std::unique_ptr<DecodeStep> make_byte_fallback_step(BadBytes bad_bytes, DecodeStep& next) {
  return std::make_unique<ByteFallbackStep>(bad_bytes, next);
}

}  // namespace bitmill

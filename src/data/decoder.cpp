#include "data/decoder.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/byte_level.hpp"
#include "data/normalizer.hpp"
#include "data/tokenizer_part.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

std::string concatenate(const std::vector<std::string>& tokens, std::string_view between) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) text += between;
    text += tokens[i];
  }
  return text;
}

std::string decode_byte_level(const std::vector<std::string>& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) append_token_bytes(token, bytes);
  return replace_invalid_utf8(bytes);
}

// "<0x41>" -> 'A'.
std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto [stopped, error] = std::from_chars(token.data() + 3, end, byte, 16);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return static_cast<char>(byte);
}

// A run of byte tokens becomes its text when it is UTF-8, else one U+FFFD per byte.
std::vector<std::string> decode_byte_fallback(const std::vector<std::string>& tokens) {
  std::vector<std::string> decoded;
  std::string run;
  const auto end_run = [&] {
    if (run.empty()) return;
    if (first_invalid_utf8(run) == run.npos) {
      decoded.push_back(run);
    } else {
      decoded.insert(decoded.end(), run.size(), "\xEF\xBF\xBD");
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const std::optional<char> byte = byte_of_token(token)) {
      run += *byte;
    } else {
      end_run();
      decoded.push_back(token);
    }
  }
  end_run();
  return decoded;
}

std::string strip(std::string_view token, std::string_view character, int64_t start, int64_t stop) {
  for (int64_t i = 0; i < start && token.starts_with(character); ++i) {
    token.remove_prefix(character.size());
  }
  for (int64_t i = 0; i < stop && token.ends_with(character); ++i) {
    token.remove_suffix(character.size());
  }
  return std::string(token);
}

}  // namespace

Decoder::Decoder(const json& decoder, const std::string& file)
    : joins_with_space_(decoder.is_null()) {
  const std::string where = file + ": decoder";
  for (const json* leaf : part_leaves(decoder, "decoders", where)) {
    steps_.push_back(read_step(*leaf, where));
  }
}

Decoder::Step Decoder::read_step(const json& leaf, const std::string& where) {
  const std::string type = part_type(leaf, where);
  Step step;
  if (type == "ByteLevel") {
    step.kind = Kind::byte_level;
  } else if (type == "ByteFallback") {
    step.kind = Kind::byte_fallback;
  } else if (type == "Fuse") {
    step.kind = Kind::fuse;
  } else if (type == "Replace") {
    step.kind = Kind::replace;
    step.pattern = plain_pattern(leaf, where);
    step.content = json_string(leaf, "content", where);
  } else if (type == "Strip") {
    step.kind = Kind::strip;
    step.content = json_string(leaf, "content", where);
    step.start = json_int(leaf, "start", where);
    step.stop = json_int(leaf, "stop", where);
    BITMILL_CHECK(!step.content.empty() && utf8_char_bytes(step.content) == step.content.size(),
                  FormatError,
                  fmt::format("{}: Strip takes one character, not \"{}\"", where, step.content));
  } else {
    refuse_part(where, type, "ByteLevel, ByteFallback, Fuse, Replace, Strip, and their Sequence");
  }
  return step;
}

std::string Decoder::decode(std::vector<std::string> tokens) const {
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::byte_level:
        tokens = {decode_byte_level(tokens)};
        break;
      case Kind::byte_fallback:
        tokens = decode_byte_fallback(tokens);
        break;
      case Kind::fuse:
        tokens = {concatenate(tokens, "")};
        break;
      case Kind::replace:
        for (std::string& token : tokens) token = replace_all(token, step.pattern, step.content);
        break;
      case Kind::strip:
        for (std::string& token : tokens) {
          token = strip(token, step.content, step.start, step.stop);
        }
        break;
    }
  }
  return concatenate(tokens, joins_with_space_ ? " " : "");
}

}  // namespace bitmill

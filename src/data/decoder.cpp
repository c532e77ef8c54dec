#include "data/decoder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* metaspace = "\u2581";

// Bytes that a chain of replacements may make of one byte. Their growth multiplies.
constexpr size_t most_growth = 1000;

void check_one_character(const std::string& text, const char* part, const std::string& where) {
  BITMILL_CHECK(!text.empty() && utf8_char_bytes(text) == text.size(), FormatError,
                fmt::format("{}: {} takes one character, not \"{}\"", where, part, text));
}

}  // namespace

Decoder::Decoder(const json& decoder, const std::string& file)
    : joins_with_space_(decoder.is_null()) {
  const std::string where = file + ": decoder";
  size_t growth = 1;  // what the steps can make of a byte
  for (const json* leaf : part_leaves(decoder, "decoders", where)) {
    steps_.push_back(read_step(*leaf, where));
    const Step& step = steps_.back();
    if (step.kind == Kind::replace) {
      growth *= std::max<size_t>(
          1, (step.content.size() + step.pattern.size() - 1) / step.pattern.size());
    }
    BITMILL_CHECK(growth <= most_growth, FormatError,
                  fmt::format("{}: its replacements make over {} bytes of one; get the tokenizer "
                              "again from where the model came from",
                              where, most_growth));
  }
}

Decoder Decoder::sentencepiece(bool strips_first_space) {
  Decoder decoder;
  Step replace;
  replace.kind = Kind::replace;
  replace.pattern = std::string(metaspace);
  replace.content = std::string(1, ' ');
  Step bytes;
  bytes.kind = Kind::sentencepiece_bytes;
  decoder.steps_ = {replace, bytes, Step()};
  if (strips_first_space) {
    Step strip;
    strip.kind = Kind::strip;
    strip.content = std::string(1, ' ');
    strip.start = 1;
    decoder.steps_.push_back(strip);
  }
  return decoder;
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
    return read_strip(leaf, where);
  } else if (type == "Metaspace") {
    return read_metaspace(leaf, where);
  } else {
    refuse_part(where, type,
                "ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, and their Sequence");
  }
  return step;
}

Decoder::Step Decoder::read_strip(const json& leaf, const std::string& where) {
  Step step;
  step.kind = Kind::strip;
  step.content = json_string(leaf, "content", where);
  step.start = json_int(leaf, "start", where);
  step.stop = json_int(leaf, "stop", where);
  check_one_character(step.content, "Strip", where);
  BITMILL_CHECK(step.start >= 0 && step.stop >= 0, FormatError,
                fmt::format("{}: Strip has start {} and stop {}; neither may be negative", where,
                            step.start, step.stop));
  return step;
}

Decoder::Step Decoder::read_metaspace(const json& leaf, const std::string& where) {
  Step step;
  step.kind = Kind::metaspace;
  step.pattern = json_string_or(leaf, "replacement", metaspace, where);
  check_one_character(step.pattern, "Metaspace", where);
  const bool prefixes = json_bool_or(leaf, "add_prefix_space", true, where);
  step.first =
      json_string_or(leaf, "prepend_scheme", prefixes ? "always" : "never", where) != "never";
  return step;
}

std::unique_ptr<DecodeStep> Decoder::make_step(const Step& step, DecodeStep& next) {
  switch (step.kind) {
    case Kind::byte_level:
      return make_byte_level_step(next);
    case Kind::byte_fallback:
      return make_byte_fallback_step(BadBytes::spoil_the_run, next);
    case Kind::sentencepiece_bytes:
      return make_byte_fallback_step(BadBytes::stand_alone, next);
    case Kind::fuse:
      return make_fuse_step(next);
    case Kind::replace:
      return make_replace_step(step.pattern, step.content, next);
    case Kind::strip:
      return make_strip_step(step.content, step.start, step.stop, next);
    case Kind::metaspace:
      return make_metaspace_step(step.pattern, step.first, next);
  }
  return make_fuse_step(next);
}

DecodeStream Decoder::start() const {
  auto text = std::make_unique<std::string>();
  std::vector<std::unique_ptr<DecodeStep>> chain;
  chain.push_back(make_text_step(*text, joins_with_space_ ? " " : ""));
  for (size_t i = steps_.size(); i-- > 0;) {
    chain.push_back(make_step(steps_[i], *chain.back()));
  }
  return DecodeStream(std::move(text), std::move(chain));
}

DecodeStream::DecodeStream(std::unique_ptr<std::string> text,
                           std::vector<std::unique_ptr<DecodeStep>> chain)
    : text_(std::move(text)), chain_(std::move(chain)) {}

std::string DecodeStream::push(std::string_view token) {
  chain_.back()->add(token);
  chain_.back()->end_token();
  return std::exchange(*text_, {});
}

std::string DecodeStream::finish() {
  chain_.back()->finish();
  return std::exchange(*text_, {});
}

}  // namespace bitmill

#include "data/pre_tokenizer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/normalizer.hpp"
#include "data/regex_syntax.hpp"
#include "data/tokenizer_part.hpp"
#include "data/unicode_classes.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* gpt2_expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace

PreTokenizer::PreTokenizer(const json& pre_tokenizer, const std::string& file) {
  const std::string where = file + ": pre_tokenizer";
  for (const json* leaf : part_leaves(pre_tokenizer, "pretokenizers", where)) {
    const std::string type = part_type(*leaf, where);
    // ByteLevel changes the alphabet: a step after it would see other characters.
    if (byte_level_) refuse_part(where, type + " after ByteLevel", "ByteLevel as the last");
    steps_.push_back(read_step(type, *leaf, where));
  }
}

PreTokenizer::Step PreTokenizer::read_step(const std::string& type, const json& leaf,
                                           const std::string& where) {
  if (type == "ByteLevel") return read_byte_level(leaf, where);
  if (type == "Metaspace") return read_metaspace(leaf, where);
  if (type == "Split") return read_split(leaf, where);
  if (type == "Digits") {
    const bool individual = json_bool_or(leaf, "individual_digits", false, where);
    const std::string digits = fmt::format("[{}]{}", numeric_class(), individual ? "" : "+");
    Step step;
    step.cut = std::make_unique<const Splitter>(Regex(digits, where), SplitBehavior::isolated);
    return step;
  }
  refuse_part(where, type, "ByteLevel, Digits, Metaspace, Split, and their Sequence");
}

PreTokenizer::Step PreTokenizer::read_byte_level(const json& leaf, const std::string& where) {
  Step step;
  if (json_bool_or(leaf, "add_prefix_space", true, where)) step.prefix = std::string(1, ' ');
  if (json_bool_or(leaf, "use_regex", true, where)) {
    step.cut = std::make_unique<const Splitter>(
        Regex(pcre2_expression(gpt2_expression, where), where), SplitBehavior::isolated);
  }
  byte_level_ = true;
  return step;
}

PreTokenizer::Step PreTokenizer::read_metaspace(const json& leaf, const std::string& where) const {
  Step step;
  step.space = json_string_or(leaf, "replacement", "\u2581", where);
  BITMILL_CHECK(!step.space.empty() && utf8_char_bytes(step.space) == step.space.size(),
                FormatError,
                fmt::format("{}: Metaspace's replacement must be one character, not \"{}\"", where,
                            step.space));
  // Older files have the flag add_prefix_space instead of prepend_scheme.
  const bool prefixes = json_bool_or(leaf, "add_prefix_space", true, where);
  const std::string scheme =
      json_string_or(leaf, "prepend_scheme", prefixes ? "always" : "never", where);
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    refuse_part(where, "Metaspace's prepend_scheme " + scheme, "always, first, never");
  }
  if (scheme != "never") step.prefix = step.space;
  step.prefixes_first_only = scheme == "first";
  if (step.prefixes_first_only && !steps_.empty()) {
    refuse_part(where, "Metaspace's prepend_scheme first after another pre-tokenizer",
                "it as the first of the Sequence");
  }
  if (json_bool_or(leaf, "split", true, where)) {
    step.cut = std::make_unique<const Splitter>(Regex(pcre2_literal(step.space), where),
                                                SplitBehavior::merged_with_next);
  }
  return step;
}

PreTokenizer::Step PreTokenizer::read_split(const json& leaf, const std::string& where) {
  const SplitBehavior behavior = split_behavior(json_string(leaf, "behavior", where), where);
  const bool invert = json_bool_or(leaf, "invert", false, where);
  Step step;
  step.cut = std::make_unique<const Splitter>(part_pattern(leaf, where), behavior, invert);
  return step;
}

void PreTokenizer::split(std::string_view text, bool begins_text,
                         const std::function<void(std::string_view)>& word) const {
  if (!text.empty()) split_from(0, text, begins_text, word);
}

void PreTokenizer::split_from(size_t index, std::string_view piece, bool begins_text,
                              const std::function<void(std::string_view)>& word) const {
  if (index == steps_.size()) {
    word(piece);
    return;
  }
  const Step& step = steps_[index];
  std::string changed;
  if (!step.space.empty()) piece = changed = replace_all(piece, " ", step.space);
  const bool takes_prefix = !step.prefix.empty() && (begins_text || !step.prefixes_first_only);
  if (takes_prefix && !piece.starts_with(step.prefix)) {
    piece = changed = step.prefix + std::string(piece);
  }
  if (step.cut == nullptr) {
    split_from(index + 1, piece, begins_text, word);
  } else {
    step.cut->split(piece, [&](std::string_view part) {
      split_from(index + 1, part, begins_text && part.data() == piece.data(), word);
    });
  }
}

}  // namespace bitmill

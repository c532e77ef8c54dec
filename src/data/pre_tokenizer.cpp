#include "data/pre_tokenizer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"
#include "data/unicode_classes.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

constexpr const char* supported = "ByteLevel, Digits, and their Sequence";

// GPT-2's: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::string gpt2_expression() {
  const std::string letter = letter_class();
  const std::string number = number_class();
  const std::string space = space_class();
  return fmt::format(
      "'s|'t|'re|'ve|'m|'ll|'d| ?[{0}]+| ?[{1}]+| ?[^{2}{0}{1}]+|[{2}]+(?![^{2}])|[{2}]+", letter,
      number, space);
}

std::string digits_expression(bool individual) {
  return fmt::format("[{}]{}", numeric_class(), individual ? "" : "+");
}

}  // namespace

PreTokenizer::PreTokenizer(const json& pre_tokenizer, const std::string& file) {
  const std::string where = file + ": pre_tokenizer";
  for (const json* leaf : part_leaves(pre_tokenizer, "pretokenizers", where)) {
    const std::string type = part_type(*leaf, where);
    // ByteLevel changes the alphabet: what came after it would see other characters.
    if (byte_level_) refuse_part(where, type + " after ByteLevel", "ByteLevel as the last");
    if (type == "ByteLevel") {
      add_byte_level(*leaf, where);
    } else if (type == "Digits") {
      const bool individual = json_bool_or(*leaf, "individual_digits", false, where);
      steps_.push_back({false, std::make_unique<const Regex>(digits_expression(individual))});
    } else {
      refuse_part(where, type, supported);
    }
  }
}

void PreTokenizer::add_byte_level(const json& leaf, const std::string& where) {
  Step step;
  step.add_prefix_space = json_bool_or(leaf, "add_prefix_space", true, where);
  if (json_bool_or(leaf, "use_regex", true, where)) {
    step.cut = std::make_unique<const Regex>(gpt2_expression());
  }
  steps_.push_back(std::move(step));
  byte_level_ = true;
}

void PreTokenizer::split(std::string_view text,
                         const std::function<void(std::string_view)>& word) const {
  if (!text.empty()) split_from(0, text, word);
}

void PreTokenizer::split_from(size_t index, std::string_view piece,
                              const std::function<void(std::string_view)>& word) const {
  if (index == steps_.size()) {
    word(piece);
    return;
  }
  const Step& step = steps_[index];
  std::string prefixed;
  if (step.add_prefix_space && piece.front() != ' ') {
    prefixed.reserve(piece.size() + 1);
    prefixed += ' ';
    prefixed += piece;
    piece = prefixed;
  }
  if (step.cut == nullptr) {
    split_from(index + 1, piece, word);
  } else {
    step.cut->split(piece, [&](std::string_view part) { split_from(index + 1, part, word); });
  }
}

}  // namespace bitmill

#include "data/normalizer.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

// Limit of the bytes that a text may become, per byte. No normalizer in use makes more of a
// character than NFKC, which makes up to 18 of one.
constexpr size_t most_normal_growth = 64;
constexpr size_t always_allowed = 4096;  // bytes: a short text may gain a prefix

std::string replace_matches(std::string_view text, const Regex& expression,
                            std::string_view content) {
  std::string result;
  size_t done = 0;
  expression.find_all(text, [&](size_t begin, size_t end) {
    result += text.substr(done, begin - done);
    result += content;
    done = end;
  });
  result += text.substr(done);
  return result;
}

}  // namespace

Normalizer::Normalizer(const json& normalizer, const std::string& file)
    : where_(file + ": normalizer") {
  for (const json* leaf : part_leaves(normalizer, "normalizers", where_)) {
    steps_.push_back(read_step(*leaf, where_));
  }
}

Normalizer::Step Normalizer::read_step(const json& leaf, const std::string& where) {
  const std::string type = part_type(leaf, where);
  Step step;
  if (type == "Prepend") {
    step.content = json_string(leaf, "prepend", where);
  } else if (type == "Replace") {
    step.content = json_string(leaf, "content", where);
    if (has_plain_pattern(leaf)) {
      step.kind = Kind::replace_text;
      step.pattern = plain_pattern(leaf, where);
    } else {
      step.kind = Kind::replace_matches;
      step.expression = std::make_unique<const Regex>(part_pattern(leaf, where));
    }
  } else if (const std::optional<NormalForm> form = normal_form_of(type)) {
    step.kind = Kind::normal_form;
    step.form = *form;
  } else {
    refuse_part(where, type, "Prepend, Replace, NFC, NFD, NFKC, NFKD, and their Sequence");
  }
  return step;
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const Step& step : steps_) {
    result = changed(step, std::move(result));
    BITMILL_CHECK(result.size() <= most_normal_growth * text.size() + always_allowed, FormatError,
                  fmt::format("{}: makes {} bytes of a text of {}, more than any normalizer has a "
                              "reason to; get the tokenizer again from where the model came from",
                              where_, result.size(), text.size()));
  }
  return result;
}

std::string Normalizer::changed(const Step& step, std::string text) {
  if (text.empty()) return text;
  switch (step.kind) {
    case Kind::prepend:
      return step.content + text;
    case Kind::replace_text:
      return replace_all(text, step.pattern, step.content);
    case Kind::replace_matches:
      return replace_matches(text, *step.expression, step.content);
    case Kind::normal_form:
      return to_normal_form(text, step.form);
  }
  return text;
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string result;
  result.reserve(text.size());
  size_t done = 0;
  for (size_t at = text.find(pattern); at != text.npos; at = text.find(pattern, done)) {
    result += text.substr(done, at - done);
    result += content;
    done = at + pattern.size();
  }
  result += text.substr(done);
  return result;
}

}  // namespace bitmill

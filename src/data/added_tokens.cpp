#include "data/added_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/unicode_classes.hpp"
#include "data/utf8.hpp"

namespace bitmill {

using nlohmann::json;

AddedToken read_added_token(const json& token, const std::string& where) {
  AddedToken result;
  result.content = json_string(token, "content", where);
  result.lstrip = json_bool_or(token, "lstrip", false, where);
  result.rstrip = json_bool_or(token, "rstrip", false, where);
  result.single_word = json_bool_or(token, "single_word", false, where);
  result.normalized = json_bool_or(token, "normalized", false, where);
  result.special = json_bool_or(token, "special", false, where);
  return result;
}

AddedToken read_special_token(const json& value, const std::string& where) {
  AddedToken token;
  if (value.is_string()) {
    token.content = value.get<std::string>();
  } else {
    token = read_added_token(value, where);
  }
  token.special = true;
  return token;
}

std::vector<AddedToken> read_added_tokens_decoder(const json& decoder, const std::string& where) {
  std::vector<AddedToken> tokens;
  if (decoder.is_null()) return tokens;
  BITMILL_CHECK(decoder.is_object(), FormatError,
                fmt::format("{}: must be an object of id: token", where));
  for (const auto& [key, value] : decoder.items()) {
    int32_t id = -1;
    const auto [stopped, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    BITMILL_CHECK(error == std::errc() && stopped == key.data() + key.size() && id >= 0,
                  FormatError,
                  fmt::format("{}: the key \"{}\" is not an id in [0, 2^31)", where, key));
    tokens.push_back(read_added_token(value, where));
    tokens.back().id = id;
  }
  return tokens;
}

std::vector<AddedToken> read_added_tokens(const json& list, const std::string& where) {
  std::vector<AddedToken> tokens;
  if (list.is_null()) return tokens;
  BITMILL_CHECK(list.is_array(), FormatError, fmt::format("{}: must be a list", where));
  for (const json& token : list) {
    tokens.push_back(read_added_token(token, where));
    tokens.back().id = json_int(token, "id", where);
  }
  return tokens;
}

PatternFinder::PatternFinder(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {
  begins_pattern_.fill(false);
  std::stable_sort(patterns_.begin(), patterns_.end(),
                   [](const Pattern& a, const Pattern& b) { return a.text < b.text; });
  const auto same = [](const Pattern& a, const Pattern& b) { return a.text == b.text; };
  patterns_.erase(std::unique(patterns_.begin(), patterns_.end(), same), patterns_.end());
  for (size_t i = 0; i < patterns_.size(); ++i) {
    const Pattern& pattern = patterns_[i];
    begins_pattern_[static_cast<uint8_t>(pattern.text.front())] = true;
    if (pattern.single_word && word_ == nullptr) {
      word_ = std::make_unique<const Regex>(fmt::format("[{}]", word_class()), pattern.text);
    }
    int32_t shorter = static_cast<int32_t>(i) - 1;
    while (shorter >= 0 && !pattern.text.starts_with(patterns_[shorter].text)) {
      shorter = shorter_[shorter];
    }
    shorter_.push_back(shorter);
  }
}

// In the sorted list, take the last pattern that is not above `text`. Every pattern that `text`
// begins with is that one or a beginning of it.
const PatternFinder::Pattern* PatternFinder::match_at(std::string_view text) const {
  if (!begins_pattern_[static_cast<uint8_t>(text.front())]) return nullptr;
  const auto above = std::upper_bound(
      patterns_.begin(), patterns_.end(), text,
      [](std::string_view value, const Pattern& pattern) { return value < pattern.text; });
  int32_t found = static_cast<int32_t>(above - patterns_.begin()) - 1;
  while (found >= 0 && !text.starts_with(patterns_[found].text)) found = shorter_[found];
  return found < 0 ? nullptr : &patterns_[found];
}

// Whether a character of a word is right before `begin` or at `end`.
bool PatternFinder::touches_word(std::string_view text, size_t begin, size_t end) const {
  const auto is_word = [&](std::string_view character) {
    bool found = false;
    word_->find_all(character, [&](size_t, size_t) { found = true; });
    return found;
  };
  if (end < text.size()) {
    const std::string_view after = text.substr(end);
    if (is_word(after.substr(0, utf8_char_bytes(after)))) return true;
  }
  if (begin == 0) return false;
  size_t first = begin - 1;
  while ((static_cast<uint8_t>(text[first]) & 0xC0) == 0x80) --first;
  return is_word(text.substr(first, begin - first));
}

void PatternFinder::split(
    std::string_view text,
    const std::function<void(std::string_view, std::optional<int32_t>)>& segment) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const Pattern* pattern = match_at(text.substr(at));
    if (pattern == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at;
    at += pattern->text.size();
    size_t end = at;
    if (pattern->single_word && touches_word(text, begin, end)) continue;
    if (pattern->take_left_space) {
      begin = std::max(done, begin - trailing_space_bytes(text.substr(0, begin)));
    }
    if (pattern->take_right_space) end += leading_space_bytes(text.substr(end));
    if (done < begin) segment(text.substr(done, begin - done), std::nullopt);
    segment(text.substr(begin, end - begin), pattern->id);
    done = end;
  }
  if (done < text.size()) segment(text.substr(done), std::nullopt);
}

AddedTokens::AddedTokens(const std::vector<AddedToken>& list, const TokenModel& model,
                         const Normalizer& normalizer, const std::string& where) {
  Patterns patterns = read(list, model, normalizer, where);
  in_text_ = PatternFinder(std::move(patterns.in_text));
  in_normalized_text_ = PatternFinder(std::move(patterns.in_normalized_text));
}

AddedTokens::Patterns AddedTokens::read(const std::vector<AddedToken>& list,
                                        const TokenModel& model, const Normalizer& normalizer,
                                        const std::string& where) {
  Patterns patterns;
  for (const AddedToken& token : list) {
    if (token.content.empty()) continue;  // the package ignores it
    const int32_t id = id_for(token, model, where);
    BITMILL_CHECK(token_of_.emplace(id, token.content).second, FormatError,
                  fmt::format("{}: \"{}\" is listed twice", where, token.content));
    if (token.special) special_.insert(token.content);
    const std::string text = token.normalized ? normalizer.apply(token.content) : token.content;
    BITMILL_CHECK(
        !text.empty(), FormatError,
        fmt::format("{}: nothing is left of \"{}\" when it is normalized", where, token.content));
    (token.normalized ? patterns.in_normalized_text : patterns.in_text)
        .push_back({text, id, token.lstrip, token.rstrip, token.single_word});
  }
  return patterns;
}

int32_t AddedTokens::id_for(const AddedToken& token, const TokenModel& model,
                            const std::string& where) const {
  const std::optional<int32_t> known = model.id_of(token.content);
  const int64_t next = std::max<int64_t>(int64_t{largest_id()} + 1, model.token_count());
  const int64_t expected = known ? *known : next;
  BITMILL_CHECK(
      token.id.value_or(expected) == expected && expected < std::numeric_limits<int32_t>::max(),
      FormatError,
      fmt::format("{}: \"{}\" has the id {}, but {} {}", where, token.content,
                  token.id.value_or(expected),
                  known ? "the vocabulary gives it" : "the next free id is", expected));
  return static_cast<int32_t>(expected);
}

std::optional<std::string_view> AddedTokens::token_of(int32_t id) const {
  const auto found = token_of_.find(id);
  return found == token_of_.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

int32_t AddedTokens::largest_id() const {
  return token_of_.empty() ? -1 : token_of_.rbegin()->first;
}

}  // namespace bitmill

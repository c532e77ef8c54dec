#include "data/added_tokens.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/json.hpp"
#include "data/tokenizer_part.hpp"
#include "data/unicode_classes.hpp"

namespace bitmill {

using nlohmann::json;

void PatternFinder::add(Pattern pattern) {
  std::vector<Pattern>& list = patterns_[static_cast<uint8_t>(pattern.text.front())];
  const auto shorter = [&](const Pattern& other) {
    return other.text.size() < pattern.text.size();
  };
  list.insert(std::find_if(list.begin(), list.end(), shorter), std::move(pattern));
}

const PatternFinder::Pattern* PatternFinder::match_at(std::string_view text) const {
  for (const Pattern& pattern : patterns_[static_cast<uint8_t>(text.front())]) {
    if (text.starts_with(pattern.text)) return &pattern;
  }
  return nullptr;
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

AddedTokens::AddedTokens(const json& list, const BpeModel& model, const Normalizer& normalizer,
                         const std::string& file) {
  const std::string where = file + ": added_tokens";
  if (list.is_null()) return;
  BITMILL_CHECK(list.is_array(), FormatError, fmt::format("{}: must be a list", where));
  for (const json& token : list) add(token, model, normalizer, where);
}

void AddedTokens::add(const json& token, const BpeModel& model, const Normalizer& normalizer,
                      const std::string& where) {
  const std::string content = json_string(token, "content", where);
  if (content.empty()) return;  // the package ignores it
  if (json_bool_or(token, "single_word", false, where)) {
    refuse_part(where, fmt::format("single_word of \"{}\"", content), "single_word false");
  }
  const int64_t id = json_int(token, "id", where);
  const int32_t next_id = std::max(largest_id() + 1, model.token_count());
  const int32_t expected = model.id_of(content).value_or(next_id);
  BITMILL_CHECK(
      id == expected, FormatError,
      fmt::format("{}: \"{}\" has the id {}, but {} {}", where, content, id,
                  model.id_of(content) ? "the vocabulary gives it" : "the next free id is",
                  expected));
  BITMILL_CHECK(token_of_.emplace(expected, content).second, FormatError,
                fmt::format("{}: \"{}\" is listed twice", where, content));
  if (json_bool_or(token, "special", false, where)) special_.insert(content);

  const bool normalized = json_bool_or(token, "normalized", false, where);
  const std::string pattern = normalized ? normalizer.apply(content) : content;
  BITMILL_CHECK(!pattern.empty(), FormatError,
                fmt::format("{}: nothing is left of \"{}\" when it is normalized", where, content));
  (normalized ? in_normalized_text_ : in_text_)
      .add({pattern, expected, json_bool_or(token, "lstrip", false, where),
            json_bool_or(token, "rstrip", false, where)});
}

std::optional<std::string_view> AddedTokens::token_of(int32_t id) const {
  const auto found = token_of_.find(id);
  return found == token_of_.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

int32_t AddedTokens::largest_id() const {
  return token_of_.empty() ? -1 : token_of_.rbegin()->first;
}

}  // namespace bitmill

#include "pipeline/job/ignored_linears.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

namespace bitmill {
namespace {

constexpr std::string_view weight_ending = ".weight";
constexpr std::string_view expression_prefix = "re:";

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == text.npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

// At commas, but not at those inside of brackets, as in {1,2}.
std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '{' || c == '[' || c == '(') {
      ++depth;
    } else if (c == '}' || c == ']' || c == ')') {
      --depth;
    } else if (c == ',' && depth <= 0) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  parts.push_back(trimmed(text.substr(begin)));
  return parts;
}

// A list in brackets would be an expression too: any one of these letters, which is every name.
bool is_list_in_brackets(const std::string& text) {
  return text.find_first_of("\"'") != text.npos ||
         (text.starts_with('[') && text.ends_with(']') && text.find(',') != text.npos);
}

bool is_file_pattern(const std::string& text) {
  constexpr std::string_view letters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-*?";
  return text.find_first_not_of(letters) == text.npos;
}

std::string expression_of_pattern(const std::string& pattern) {
  std::string expression = "^";
  for (const char c : pattern) {
    if (c == '*') {
      expression += ".*";
    } else if (c == '?') {
      expression += '.';
    } else if (c == '.') {
      expression += "\\.";
    } else {
      expression += c;
    }
  }
  return expression + "$";
}

std::string without_weight(const std::string& tensor) {
  return tensor.ends_with(weight_ending) ? tensor.substr(0, tensor.size() - weight_ending.size())
                                         : tensor;
}

}  // namespace

IgnoredLinears::IgnoredLinears(std::string text) : text_(std::move(text)) {
  if (text_.empty()) return;
  if (is_list_in_brackets(text_)) {
    problem_ = fmt::format(
        "--ignore {}: several entries are written without brackets and quotes, such as "
        "down_proj,o_proj",
        text_);
    return;
  }
  for (const std::string& entry : split(text_)) add(entry);
}

void IgnoredLinears::add(const std::string& text) {
  const bool from_begin = text.starts_with(expression_prefix);
  const std::string expression = from_begin ? text.substr(expression_prefix.size()) : text;
  if (expression.empty()) {
    problem_ = fmt::format("--ignore \"{}\" has an empty entry", text_);
    return;
  }
  Entry entry;
  entry.text = text;
  if (from_begin) entry.flags = std::regex_constants::match_continuous;
  try {
    entry.expression = std::regex(expression);
  } catch (const std::regex_error& error) {
    if (from_begin || !is_file_pattern(text)) {
      problem_ = fmt::format(
          "--ignore: \"{}\" is not a regular expression ({}); give a part of the names, such as "
          "down_proj, or a pattern such as *.down_proj",
          text, error.what());
      return;
    }
    entry.expression = std::regex(expression_of_pattern(text));
  }
  entries_.push_back(std::move(entry));
}

bool IgnoredLinears::Entry::names(const std::string& tensor) const {
  return std::regex_search(tensor, expression, flags) ||
         std::regex_search(without_weight(tensor), expression, flags);
}

bool IgnoredLinears::contains(const std::string& tensor) const {
  return std::ranges::any_of(entries_, [&](const Entry& entry) { return entry.names(tensor); });
}

std::vector<IgnoredLinears::Hits> IgnoredLinears::hits(
    const std::vector<std::string>& tensors) const {
  std::vector<Hits> all;
  for (const Entry& entry : entries_) {
    Hits& hits = all.emplace_back(Hits{entry.text, {}});
    std::ranges::copy_if(tensors, std::back_inserter(hits.tensors),
                         [&](const std::string& tensor) { return entry.names(tensor); });
  }
  return all;
}

}  // namespace bitmill

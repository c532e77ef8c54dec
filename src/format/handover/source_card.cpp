#include "format/handover/source_card.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <span>
#include <sstream>
#include <string_view>

namespace bitmill {
namespace {

constexpr const char* card_name = "README.md";
constexpr int64_t most_read = int64_t{64} << 10;  // bytes; a front matter has about a hundred lines
constexpr std::string_view fence = "---";

std::string kept_name(int number) {
  return number == 1 ? "SOURCE_README.md" : fmt::format("SOURCE_README.{}.md", number);
}

// The number of the first name that is free.
int first_free(Files& files, const std::string& folder) {
  int number = 1;
  while (files.exists(join_path(folder, kept_name(number)))) ++number;
  return number;
}

std::string beginning_of(Files& files, const std::string& path) {
  const auto file = files.open(path);
  std::string text(static_cast<size_t>(std::min(file->size(), most_read)), '\0');
  file->read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

// Without quotes and spaces around it; empty unless it is one plain word, which means the same in
// any YAML, and in a table.
std::string plain_word(std::string_view value) {
  constexpr std::string_view around = " \t\r\"'";
  const size_t first = value.find_first_not_of(around);
  if (first == std::string_view::npos) return "";
  value = value.substr(first, value.find_last_not_of(around) + 1 - first);
  const auto is_alphanumeric = [](unsigned char c) { return std::isalnum(c) != 0; };
  const bool plain = std::ranges::all_of(value, [&](char c) {
    return is_alphanumeric(c) || std::string_view("._+-/:#?=&%~").find(c) != std::string_view::npos;
  });
  const bool bounded = is_alphanumeric(value.front()) && is_alphanumeric(value.back());
  return plain && bounded ? std::string(value) : "";
}

void read_front_matter(const std::string& text, SourceCard& card) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || !line.starts_with(fence)) return;
  while (std::getline(lines, line) && !line.starts_with(fence)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string_view key = std::string_view(line).substr(0, colon);
    const std::string value = plain_word(std::string_view(line).substr(colon + 1));
    if (key == "license") card.license = value;
    if (key == "license_name") card.license_name = value;
    if (key == "license_link") card.license_link = value;
  }
}

}  // namespace

void set_source_card_aside(Files& files, const std::string& folder) {
  const std::string path = join_path(folder, card_name);
  if (!files.exists(path)) return;
  if (beginning_of(files, path).find(our_card_line) != std::string::npos) {
    files.remove(path);
  } else {
    files.rename(path, join_path(folder, kept_name(first_free(files, folder))));
  }
  files.sync_directory(folder);
}

SourceCard read_source_card(Files& files, const std::string& folder) {
  SourceCard card;
  const int end = first_free(files, folder);
  for (int number = 1; number < end; ++number) {
    SourceCard one;
    one.file = kept_name(number);
    read_front_matter(beginning_of(files, join_path(folder, one.file)), one);
    if (number == 1) {
      card = one;
    } else {
      card.others.push_back(one.file);
    }
    if (!card.license_file.empty() || one.license.empty()) continue;
    card.license_file = one.file;
    card.license = one.license;
    card.license_name = one.license_name;
    card.license_link = one.license_link;
  }
  return card;
}

}  // namespace bitmill

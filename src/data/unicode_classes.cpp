#include "data/unicode_classes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "data/unicode_newer.hpp"

namespace bitmill {
namespace {

constexpr std::array<std::string_view, 22> categories = {
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No",
    "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So"};

constexpr const char* unicode_17_numbers = "\\x{11DE0}-\\x{11DE9}\\x{16FF4}-\\x{16FF6}";

// White_Space as UTF-8: U+0009..000D, 0020, 0085, 00A0, 1680, 2000..200A, 2028, 2029, 202F, 205F,
// 3000.
constexpr std::array<std::string_view, 25> space_characters = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82",
    "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88",
    "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8", "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F",
    "\xE3\x80\x80"};

}  // namespace

std::string category_class(std::string_view category) {
  // U+1171E moved from Mn to Mc after Unicode 14, and a class cannot be made smaller.
  if (category.empty() || category == "Mn" || category == "Mc") return "";
  std::string newer;
  bool known = false;
  for (const std::string_view member : categories) {
    if (!member.starts_with(category)) continue;
    known = true;
    newer += newer_members(member);
  }
  return known ? fmt::format("\\p{{{}}}{}", category, newer) : "";
}

std::string numeric_class() { return category_class("N") + unicode_17_numbers; }

// Rust's regex \w: Alphabetic, which takes in circled letters, M, Nd, Pc, Join_Control.
std::string word_class() {
  std::string members =
      "\\x{200C}\\x{200D}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}"
      "\\x{1F170}-\\x{1F189}";
  for (const char* category : {"L", "M", "Nd", "Nl", "Pc"}) members += category_class(category);
  return members;
}

std::string space_class() {
  return "\\t-\\r\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"
         "\\x{205F}\\x{3000}";
}

size_t leading_space_bytes(std::string_view text) {
  const auto begins = [&](std::string_view space) { return text.starts_with(space); };
  size_t bytes = 0;
  while (!text.empty()) {
    const auto space = std::find_if(space_characters.begin(), space_characters.end(), begins);
    if (space == space_characters.end()) break;
    bytes += space->size();
    text.remove_prefix(space->size());
  }
  return bytes;
}

size_t trailing_space_bytes(std::string_view text) {
  const auto ends = [&](std::string_view space) { return text.ends_with(space); };
  size_t bytes = 0;
  while (!text.empty()) {
    const auto space = std::find_if(space_characters.begin(), space_characters.end(), ends);
    if (space == space_characters.end()) break;
    bytes += space->size();
    text.remove_suffix(space->size());
  }
  return bytes;
}

}  // namespace bitmill

#include "data/unicode_classes.hpp"

#include <algorithm>
#include <array>

#include "data/utf8.hpp"

namespace bitmill {
namespace {

// What Unicode 15 and 16 added to the letters of Unicode 14, which is what PCRE2 10.42 knows. Found
// by asking the package and PCRE2 about every code point; a newer PCRE2 holds them already.
constexpr const char* newer_letters =
    "\\x{1C89}\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}"
    "\\x{10D4A}-\\x{10D65}\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}\\x{11240}"
    "\\x{11380}-\\x{11389}\\x{1138B}\\x{1138E}\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}\\x{113D3}"
    "\\x{11BC0}-\\x{11BE0}\\x{11F02}\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}"
    "\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}\\x{16100}-\\x{1611D}\\x{16D40}-\\x{16D6C}"
    "\\x{18CFF}\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}\\x{1E030}-\\x{1E06D}"
    "\\x{1E4D0}-\\x{1E4EB}\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}\\x{2EBF0}-\\x{2EE5D}"
    "\\x{31350}-\\x{323AF}";
constexpr const char* newer_numbers =
    "\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}"
    "\\x{16130}-\\x{16139}\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}"
    "\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}";
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

std::string letter_class() { return std::string("\\p{L}") + newer_letters; }

std::string number_class() { return std::string("\\p{N}") + newer_numbers; }

std::string numeric_class() { return number_class() + unicode_17_numbers; }

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

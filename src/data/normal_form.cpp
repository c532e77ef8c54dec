// The only code that calls utf8proc.

#include "data/normal_form.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>

#include "base/error.hpp"
#include "base/handle.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// Characters that utf8proc 2.8 (Unicode 15) reorders, composes or decomposes and the package does
// not. They were found by running both on every code point, alone and between combining marks.
constexpr std::array<Range, 48> younger_characters = {
    {{0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
     {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
     {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
     {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
     {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
     {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
     {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11935, 0x11935},
     {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
     {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
     {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
     {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
     {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}}};

bool is_younger(uint32_t code) {
  const auto ends_before = [](const Range& range, uint32_t value) { return range.last < value; };
  const auto found =
      std::lower_bound(younger_characters.begin(), younger_characters.end(), code, ends_before);
  return found != younger_characters.end() && found->first <= code;
}

utf8proc_option_t options_of(NormalForm form) {
  const bool composes = form == NormalForm::nfc || form == NormalForm::nfkc;
  const bool compatible = form == NormalForm::nfkc || form == NormalForm::nfkd;
  return static_cast<utf8proc_option_t>(UTF8PROC_STABLE |
                                        (composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                        (compatible ? UTF8PROC_COMPAT : 0));
}

struct BufferTraits {
  using Type = utf8proc_uint8_t*;
  static Type null() { return nullptr; }
  static void destroy(Type buffer) { std::free(buffer); }
};

void append_normalized(std::string_view text, NormalForm form, std::string& result) {
  if (text.empty()) return;
  utf8proc_uint8_t* buffer = nullptr;
  const utf8proc_ssize_t bytes =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &buffer, options_of(form));
  const UniqueHandle<BufferTraits> owner(buffer);
  BITMILL_CHECK(bytes >= 0, Error,
                fmt::format("utf8proc cannot normalize a text of {} bytes: {}", text.size(),
                            utf8proc_errmsg(bytes)));
  result.append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(bytes));
}

bool is_ascii(char c) { return static_cast<uint8_t>(c) < 0x80; }

// A stretch is cut at younger characters: they do not combine with their neighbours.
void append_stretch(std::string_view text, NormalForm form, std::string& result) {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = utf8_char_bytes(text.substr(at));
    if (is_younger(decode_utf8(text.substr(at)))) {
      append_normalized(text.substr(done, at - done), form, result);
      result += text.substr(at, bytes);
      done = at + bytes;
    }
    at += bytes;
  }
  append_normalized(text.substr(done), form, result);
}

}  // namespace

std::optional<NormalForm> normal_form_of(std::string_view name) {
  if (name == "NFC") return NormalForm::nfc;
  if (name == "NFD") return NormalForm::nfd;
  if (name == "NFKC") return NormalForm::nfkc;
  if (name == "NFKD") return NormalForm::nfkd;
  return std::nullopt;
}

// ASCII is in every normal form. Only an ASCII character right before other characters can change,
// by combining with them.
std::string to_normal_form(std::string_view text, NormalForm form) {
  std::string result;
  result.reserve(text.size());
  size_t done = 0;
  while (done < text.size()) {
    const char* const from = text.data() + done;
    const char* const other = std::find_if_not(from, text.data() + text.size(), is_ascii);
    const char* const after = std::find_if(other, text.data() + text.size(), is_ascii);
    if (other == after) break;
    const size_t begin = static_cast<size_t>((other > from ? other - 1 : other) - text.data());
    const size_t end = static_cast<size_t>(after - text.data());
    result += text.substr(done, begin - done);
    append_stretch(text.substr(begin, end - begin), form, result);
    done = end;
  }
  result += text.substr(done);
  return result;
}

}  // namespace bitmill

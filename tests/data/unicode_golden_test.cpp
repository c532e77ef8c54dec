// Classes, normal forms and splits equal those of the `tokenizers` package, over all code points:
// files made by golden/tokenizers/make_unicode.py.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.hpp"
#include "base/json.hpp"
#include "data/normal_form.hpp"
#include "data/pre_tokenizer.hpp"
#include "data/regex.hpp"
#include "data/unicode_classes.hpp"
#include "data/utf8.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const std::string golden = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/";

// CRC-32 as zlib has it, bit by bit.
class Crc32 {
 public:
  void add(std::string_view text) {
    for (const char byte : text) {
      state_ ^= static_cast<uint8_t>(byte);
      for (int bit = 0; bit < 8; ++bit) state_ = state_ >> 1 ^ (state_ & 1 ? 0xEDB88320u : 0u);
    }
  }
  std::string hex() const { return fmt::format("{:08x}", ~state_); }

 private:
  uint32_t state_ = ~0u;
};

bool is_character(uint32_t code) { return code < 0xD800 || code >= 0xE000; }

std::string hash_of_class(const std::string& members) {
  const Regex expression("[" + members + "]", "test");
  std::string text;
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    if (is_character(code)) append_utf8(code, text);
  }
  Crc32 hash;
  expression.find_all(text, [&](size_t begin, size_t) {
    hash.add(fmt::format("{:X} ", decode_utf8(std::string_view(text).substr(begin))));
  });
  return hash.hex();
}

std::string hash_of_form(NormalForm form) {
  Crc32 hash;
  for (uint32_t code = 1; code <= 0x10FFFF; ++code) {
    if (!is_character(code)) continue;
    std::string text = "a";
    append_utf8(code, text);
    text += "\u0301\u0327";
    append_utf8(code, text);
    hash.add(to_normal_form(text, form));
  }
  return hash.hex();
}

json unicode_golden() {
  return parse_json(read_text(*posix_files(), golden + "unicode.json"), "unicode.json");
}

TEST(UnicodeGolden, ClassesHoldTheCodePointsOfThePackage) {
  const json classes = unicode_golden().at("classes");
  for (const auto& [name, hash] : classes.items()) {
    std::string members = category_class(name.size() > 4 ? name.substr(3, name.size() - 4) : "");
    if (name == "\\s") members = space_class();
    if (name == "numeric") members = numeric_class();
    if (name == "word") members = word_class();
    EXPECT_EQ(hash_of_class(members), hash.get<std::string>()) << name;
  }
  EXPECT_GE(classes.size(), 27u);
}

TEST(UnicodeGolden, NormalFormsOfEveryCharacterBetweenMarks) {
  const json forms = unicode_golden().at("forms");
  for (const auto& [name, hash] : forms.items()) {
    EXPECT_EQ(hash_of_form(normal_form_of(name).value()), hash.get<std::string>()) << name;
  }
  EXPECT_EQ(forms.size(), 4u);
}

// "merged_with_next" -> "MergedWithNext".
std::string behavior_name(const std::string& snake) {
  std::string name;
  bool upper = true;
  for (const char c : snake) {
    if (c != '_') name += upper ? static_cast<char>(c - 'a' + 'A') : c;
    upper = c == '_';
  }
  return name;
}

TEST(UnicodeGolden, SplitsCutWhereThePackageCuts) {
  std::istringstream lines(read_text(*posix_files(), golden + "splits.jsonl"));
  int splits = 0;
  for (std::string line; std::getline(lines, line);) {
    const json expected = parse_json(line, "splits.jsonl");
    for (const auto& [behavior, pieces] : expected.at("pieces").items()) {
      const json part = {{"type", "Split"},
                         {"pattern", {{"Regex", expected.at("expression")}}},
                         {"behavior", behavior_name(behavior)},
                         {"invert", expected.at("invert")}};
      std::vector<std::string> found;
      PreTokenizer(part, "test")
          .split(expected.at("text").get<std::string>(), true,
                 [&](std::string_view piece) { found.emplace_back(piece); });
      EXPECT_EQ(found, pieces.get<std::vector<std::string>>()) << behavior << " " << line;
      ++splits;
    }
  }
  EXPECT_GE(splits, 2000);
}

}  // namespace
}  // namespace bitmill

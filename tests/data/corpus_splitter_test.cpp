#include "data/corpus_splitter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.hpp"
#include "corpus_files.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct SplitText {
  std::vector<std::string> texts;  // those that continue begin with "+"
  int64_t left_out = 0, longest_left_out = 0;

  bool operator==(const SplitText&) const = default;
};

// Feeds `pace` bytes at a time, and holds every document against its place in the content.
SplitText split(const std::string& content, SplitRules rules, size_t pace = 1 << 20) {
  MemoryFiles files;
  const CorpusLines lines(files, "/no model", "");
  SplitText result;
  const std::string name = "/corpus";
  DocumentSplitter splitter(name, rules, lines, [&](const FoundDocument& found) {
    EXPECT_EQ(content.substr(static_cast<size_t>(found.offset), found.stored.size()), found.stored);
    const std::string text = rules.is_json_lines ? found.text.text : std::string(found.stored);
    EXPECT_EQ(found.text_bytes, std::ssize(text));
    result.texts.push_back((found.continues ? "+" : "") + text);
  });
  for (size_t at = 0; at < content.size(); at += pace) splitter.add(content.substr(at, pace));
  splitter.finish();
  result.left_out = splitter.left_out();
  result.longest_left_out = splitter.longest_left_out();
  return result;
}

std::string refused_split(const std::string& content, SplitRules rules) {
  return corpora::refusal<FormatError>([&] { split(content, rules); });
}

TEST(CorpusSplitter, TheBorderSeparatesDocumentsWithoutTheirBlanks) {
  EXPECT_THAT(
      split("\n one\nmore \n<|endoftext|>\n two<|endoftext|><|endoftext|>three\n", {}).texts,
      ElementsAre("one\nmore", "two", "three"));
}

TEST(CorpusSplitter, ATextWithoutBordersIsOneDocumentWithItsEmptyLines) {
  EXPECT_THAT(split("one\n\n\ntwo\n", {}).texts, ElementsAre("one\n\n\ntwo"));
}

TEST(CorpusSplitter, DocumentsThatAreTooShortAreCounted) {
  const SplitText result = split("abc<|endoftext|>abcd<|endoftext|>ab", {false, 4});
  EXPECT_THAT(result.texts, ElementsAre("abcd"));
  EXPECT_EQ(result.left_out, 2);
  EXPECT_EQ(result.longest_left_out, 3);
  EXPECT_EQ(split("{\"text\":\"abc\"}\n{\"text\":\"  \"}\n", {true, 4}).longest_left_out, 3);
}

TEST(CorpusSplitter, JsonLinesAreDocuments) {
  EXPECT_THAT(split("{\"text\": \"one\\nmore\"}\r\n\n{\"id\": 3, \"text\": \"two\"}\n   \n"
                    "{\"text\":\"<|endoftext|>\"}",
                    {true, 1})
                  .texts,
              ElementsAre("one\nmore", "two", "<|endoftext|>"));
}

TEST(CorpusSplitter, ALongTextIsCutIntoPiecesBehindLines) {
  std::string text;
  while (std::ssize(text) < 5 * longest_piece / 2) text += corpora::counted_words(0, 3000) + "\n";
  const auto pieces = split("short<|endoftext|>" + text + "end<|endoftext|>last", {}).texts;
  ASSERT_EQ(pieces.size(), 5u);
  EXPECT_EQ(pieces[0], "short");
  EXPECT_EQ(pieces[1] + pieces[2].substr(1) + pieces[3].substr(1), text + "end");
  EXPECT_EQ(pieces[1].back(), '\n');
  EXPECT_EQ(pieces[2].front(), '+');
  EXPECT_EQ(pieces[3].front(), '+');
  EXPECT_EQ(pieces[4], "last");
}

TEST(CorpusSplitter, ATextWithoutLinesIsCutBetweenWordsOrElseCharacters) {
  std::string words;
  while (std::ssize(words) <= longest_piece) words += "word ";
  EXPECT_EQ(split(words, {}).texts[1].substr(0, 6), "+ word");
  std::string characters;
  while (std::ssize(characters) <= longest_piece) characters += "\xE4\xBA\xBA";  // of 3 bytes
  const auto pieces = split(characters, {}).texts;
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[0].size() % 3, 0u);
  EXPECT_EQ(pieces[0] + pieces[1].substr(1), characters);
}

TEST(CorpusSplitter, DocumentsDoNotDependOnHowTheBytesArrive) {
  std::string text, lines;
  for (uint64_t i = 0; i < 300; ++i) {
    const auto draw = random_below(1, RandomPurpose::test_data, i, 7);
    text += draw == 0 ? "<|endoftext|>" : draw == 1 ? "<|endof" : draw == 2 ? "\n" : "w\xC3\xA9 ";
    lines += draw < 2 ? "\n" : "{\"text\": \"" + std::string(draw, 'x') + "\"}\n";
  }
  for (const size_t pace : {1u, 2u, 3u, 13u, 100u}) {
    EXPECT_EQ(split(text, {false, 3}, pace), split(text, {false, 3}));
    EXPECT_EQ(split(lines, {true, 3}, pace), split(lines, {true, 3}));
  }
  // Borders and characters across the ends of what arrives, where pieces are cut as well.
  std::string large(longest_piece - 4, 'x');
  large += "<|endoftext|>" + std::string(longest_piece + 5, 'y');
  for (const size_t pace : {size_t{65'537}, size_t{longest_piece}, size_t{longest_piece} + 3}) {
    EXPECT_EQ(split(large, {}, pace), split(large, {}, large.size()));
  }
}

TEST(CorpusSplitter, WhatIsNoTextIsNamedByItsLine) {
  EXPECT_THAT(refused_split("one\n<|endoftext|>two\nth\xFFree", {}),
              AllOf(HasSubstr("/corpus, line 3 is not UTF-8"), HasSubstr("0xff")));
  EXPECT_THAT(refused_split(std::string("one\n\ntwo \0 three", 16), {}),
              HasSubstr("/corpus, line 3 is no text: there is a byte 0"));
  EXPECT_THAT(refused_split("a half character \xC3<|endoftext|>\xA9", {}), HasSubstr("line 1"));
}

TEST(CorpusSplitter, WhatIsNoJsonIsNamedByItsLine) {
  const SplitRules rules{true, 1};
  EXPECT_THAT(refused_split("{\"text\": \"a\"}\n\n{\"body\": \"b\", \"id\": 1}", rules),
              AllOf(HasSubstr("/corpus, line 3"), HasSubstr("\"body\" (string), \"id\" (number)"),
                    HasSubstr("--text-key body")));
  EXPECT_THAT(refused_split("{\"text\": \"a\"}\n{\"text\": ", rules), HasSubstr("/corpus, line 2"));
  EXPECT_THAT(refused_split("{\"text\": \"\xFF\"}", rules),
              AllOf(HasSubstr("/corpus, line 1"), HasSubstr("UTF-8")));
  EXPECT_THAT(refused_split(std::string("{\"text\": \"a\0\"}", 14), rules), HasSubstr("byte 0"));
  EXPECT_THAT(refused_split("[1, 2]", rules), HasSubstr("expected an object"));
}

TEST(CorpusSplitter, ALineThatDoesNotFitInMemoryIsRefused) {
  const std::string line(longest_json_line + 1, ' ');
  EXPECT_THAT(refused_split("{}\n" + line, {true, 1}), HasSubstr("there is no \"text\""));
  EXPECT_THAT(refused_split("\n" + line, {true, 1}),
              HasSubstr("/corpus, line 2: the line has more"));
}

}  // namespace
}  // namespace bitmill

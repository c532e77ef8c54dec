#include "eval/task_texts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t bos = 1;

// A token for every byte, but one, 200, for "ab". Puts a BOS before a text, or nothing.
class LetterTokenizer : public Tokenizer {
 public:
  explicit LetterTokenizer(bool has_bos) : has_bos_(has_bos) {}

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && has_bos_) ids.push_back(bos);
    for (size_t at = 0; at < text.size(); ++at) {
      const bool pair = text.substr(at, 2) == "ab";
      ids.push_back(pair ? 200 : static_cast<unsigned char>(text[at]));
      if (pair) ++at;
    }
    return ids;
  }
  std::vector<int32_t> ids_before_text() const override {
    return has_bos_ ? std::vector<int32_t>{bos} : std::vector<int32_t>{};
  }
  std::string decode(const std::vector<int32_t>&, bool) const override { return {}; }
  std::unique_ptr<TextStream> start_decoding(bool) const override { return nullptr; }
  int64_t vocab_size() const override { return 256; }

 private:
  bool has_bos_;
};

constexpr TaskTokens plain_tokens{.special = true, .longest = 100, .vocab_size = 256};

TaskTexts tokenized(const std::string& context, const std::string& continuation,
                    const TaskTokens& wanted = plain_tokens, bool has_bos = false) {
  Task task{.path = "t.jsonl", .name = "t", .kind = TaskKind::continuation, .items = {}};
  task.items.push_back({.line = 9, .pairs = {{context, continuation}}, .lengths = {}, .gold = 0});
  return tokenize_task(task, LetterTokenizer(has_bos), wanted);
}

ScoredText only_text(const std::string& context, const std::string& continuation,
                     const TaskTokens& wanted = plain_tokens, bool has_bos = false) {
  return tokenized(context, continuation, wanted, has_bos).texts.at(0);
}

std::string refused_text(const std::string& context, const std::string& continuation,
                         const TaskTokens& wanted = plain_tokens) {
  try {
    tokenized(context, continuation, wanted);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(TaskTexts, TheContinuationBeginsAfterTheTokensOfTheContext) {
  const ScoredText text = only_text("xy", " z");
  EXPECT_THAT(text.ids, ElementsAre('x', 'y', ' ', 'z'));
  EXPECT_EQ(text.context, 2);
  EXPECT_EQ(text.scored(), 2);
}

TEST(TaskTexts, WhiteSpaceAtTheContextsEndGoesToTheContinuation) {
  const ScoredText text = only_text("x\n ", " z");
  EXPECT_THAT(text.ids, ElementsAre('x', '\n', ' ', ' ', 'z'));
  EXPECT_EQ(text.context, 1);
}

// As lm_eval: the context as it is alone, then what the whole has behind as many tokens.
TEST(TaskTexts, ATokenAcrossTheBorderIsNotCutInTwo) {
  const ScoredText text = only_text("xa", "bz");
  EXPECT_THAT(text.ids, ElementsAre('x', 'a', 'z')) << "the whole is x, ab, z";
  EXPECT_EQ(text.context, 2);
}

TEST(TaskTexts, AContextBeginsWithTheTokenizersBosUnlessNobodyWantsIt) {
  EXPECT_THAT(only_text("x", " z", plain_tokens, true).ids, ElementsAre(bos, 'x', ' ', 'z'));
  EXPECT_EQ(only_text("x", " z", plain_tokens, true).context, 2);
  const TaskTokens bare{.special = false, .longest = 100, .vocab_size = 256};
  EXPECT_THAT(only_text("x", " z", bare, true).ids, ElementsAre('x', ' ', 'z'));
  EXPECT_THAT(only_text("\x01x", " z", plain_tokens, true).ids, ElementsAre(bos, 'x', ' ', 'z'))
      << "a text that begins with one gets no second";
}

TEST(TaskTexts, ATextOfOneTokenMoreThanTheModelReadsStaysWhole) {
  const TaskTokens four{.special = true, .longest = 4, .vocab_size = 256};
  const TaskTexts texts = tokenized("xyz", " q", four);
  EXPECT_EQ(texts.texts[0].ids.size(), 5u);
  EXPECT_EQ(texts.cut, 0);
}

TEST(TaskTexts, ALongerTextLosesTheBeginningOfItsContextAndIsCounted) {
  const TaskTokens four{.special = true, .longest = 4, .vocab_size = 256};
  const TaskTexts texts = tokenized("uvwxyz", " q", four);
  EXPECT_THAT(texts.texts[0].ids, ElementsAre('x', 'y', 'z', ' ', 'q'));
  EXPECT_EQ(texts.texts[0].context, 3);
  EXPECT_EQ(texts.cut, 1);
}

TEST(TaskTexts, WhatCannotBeScoredIsRefusedWithItsLine) {
  const TaskTokens four{.special = true, .longest = 4, .vocab_size = 256};
  EXPECT_THAT(refused_text("x", " abcdef", four),
              AllOf(HasSubstr("t.jsonl, line 9"), HasSubstr("6 tokens"), HasSubstr("read 4")));
  EXPECT_THAT(refused_text("xa", "b"), AllOf(HasSubstr("line 9"), HasSubstr("token of its own")));
  const TaskTokens small{.special = true, .longest = 9, .vocab_size = 100};
  EXPECT_THAT(refused_text("x", " z", small),
              AllOf(HasSubstr("line 9"), HasSubstr("token id 122"), HasSubstr("100")));
}

TEST(TaskTexts, WhiteSpaceIsWhatPythonTakesAway) {
  EXPECT_EQ(trailing_white_bytes("a \t\r\n\v\f"), 6u);
  EXPECT_EQ(trailing_white_bytes("a\x1C \x1F"), 3u);
  EXPECT_EQ(trailing_white_bytes("a\xC2\xA0\xE3\x80\x80"), 5u) << "U+00A0, U+3000";
  EXPECT_EQ(trailing_white_bytes("a\xE2\x80\x8B"), 0u) << "U+200B is none";
  EXPECT_EQ(trailing_white_bytes(" \n"), 2u);
  EXPECT_EQ(trailing_white_bytes(""), 0u);
}

}  // namespace
}  // namespace bitmill

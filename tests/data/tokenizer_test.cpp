#include "data/tokenizer.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/random.hpp"
#include "base/work_count.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string golden = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/";
const std::string books = BITMILL_SOURCE_DIR "/tests/data/books-2M";

// Letters a, b, c with the tokens ab (rank 0) and abc (rank 1).
json small_file() {
  return json::parse(R"({
    "added_tokens": [{"id": 5, "content": "<end>", "special": true, "normalized": false}],
    "normalizer": null, "pre_tokenizer": null, "post_processor": null,
    "decoder": {"type": "Fuse"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4},
              "merges": ["a b", ["ab", "c"]]}})");
}

std::unique_ptr<Tokenizer> open_json(const json& file) {
  const TempFolder folder;
  folder.write("tokenizer.json", file.dump());
  return open_tokenizer(*posix_files(), folder.path());
}

// The FormatError of opening small_file() after `change`.
std::string refusal_of(const std::function<void(json&)>& change) {
  json file = small_file();
  change(file);
  try {
    open_json(file);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

std::string error_of_encoding(const Tokenizer& tokenizer, std::string_view text) {
  try {
    tokenizer.encode(text, false);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(Tokenizer, MergesByRankFromBothSpellings) {
  EXPECT_THAT(open_json(small_file())->encode("abcabb", false), ElementsAre(4, 3, 1));
}

TEST(Tokenizer, CharactersOutsideTheVocabularyAreDroppedWithoutUnknownToken) {
  EXPECT_THAT(open_json(small_file())->encode("axb", false), ElementsAre(3));
}

TEST(Tokenizer, UnknownCharactersFuseOnlyWhenAsked) {
  json file = small_file();
  file["model"]["unk_token"] = "c";
  EXPECT_THAT(open_json(file)->encode("axyb", false), ElementsAre(0, 2, 2, 1));
  file["model"]["fuse_unk"] = true;
  EXPECT_THAT(open_json(file)->encode("axyb", false), ElementsAre(0, 2, 1));
}

TEST(Tokenizer, UnknownTokenThatIsNotInTheVocabularyIsAnErrorWhenNeeded) {
  json file = small_file();
  file["model"]["unk_token"] = "<unk>";
  const auto tokenizer = open_json(file);
  EXPECT_THAT(tokenizer->encode("ab", false), ElementsAre(3));
  EXPECT_THAT(error_of_encoding(*tokenizer, "axb"), HasSubstr("<unk>"));
}

TEST(Tokenizer, AddedTokensCutTheTextLongestFirst) {
  json file = small_file();
  file["added_tokens"].push_back({{"id", 6}, {"content", "<end>b"}, {"normalized", false}});
  EXPECT_THAT(open_json(file)->encode("a<end>ba<end><en", false), ElementsAre(0, 6, 0, 5));
}

TEST(Tokenizer, SpecialTokensAreLeftOutOfTheTextWhenAsked) {
  const auto tokenizer = open_json(small_file());
  EXPECT_EQ(tokenizer->decode({4, 5, 0}, false), "abc<end>a");
  EXPECT_EQ(tokenizer->decode({4, 5, 0}, true), "abca");
}

TEST(Tokenizer, IdsWithoutTokenDecodeToNothing) {
  EXPECT_EQ(open_json(small_file())->decode({0, 77, -1, 1}, false), "ab");
}

TEST(Tokenizer, VocabSizeCountsAddedTokens) { EXPECT_EQ(open_json(small_file())->vocab_size(), 6); }

TEST(Tokenizer, TemplateAddsIdsOnlyWhenAsked) {
  json file = small_file();
  file["post_processor"] = json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<end>"}}, {"Sequence": {"id": "A"}},
               {"SpecialToken": {"id": "<end>"}}],
    "special_tokens": {"<end>": {"ids": [5]}}})");
  const auto tokenizer = open_json(file);
  EXPECT_THAT(tokenizer->encode("ab", true), ElementsAre(5, 3, 5));
  EXPECT_THAT(tokenizer->encode("ab", false), ElementsAre(3));
}

TEST(Tokenizer, InvalidUtf8IsRefusedWithItsByte) {
  const auto tokenizer = open_json(small_file());
  EXPECT_THAT(error_of_encoding(*tokenizer, "ab\xFF"), AllOf(HasSubstr("byte 2"), HasSubstr("FF")));
  EXPECT_THAT(error_of_encoding(*tokenizer, "ab\xED\xA0\x80"), HasSubstr("byte 2"));  // surrogate
  EXPECT_THAT(error_of_encoding(*tokenizer, "a\xC3"), HasSubstr("byte 1"));           // cut short
}

TEST(Tokenizer, PartsThatAreNotUnderstoodAreRefusedByName) {
  EXPECT_THAT(refusal_of([](json& f) {
                f["normalizer"] = {{"type", "Lowercase"}};
              }),
              AllOf(HasSubstr("normalizer: Lowercase"), HasSubstr("Prepend")));
  EXPECT_THAT(refusal_of([](json& f) {
                f["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
              }),
              AllOf(HasSubstr("pre_tokenizer: BertPreTokenizer"), HasSubstr("ByteLevel")));
  EXPECT_THAT(refusal_of([](json& f) {
                f["post_processor"] = {{"type", "BertProcessing"}};
              }),
              HasSubstr("BertProcessing"));
  EXPECT_THAT(refusal_of([](json& f) {
                f["decoder"] = {{"type", "WordPiece"}};
              }),
              HasSubstr("decoder: WordPiece"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["type"] = "Unigram"; }),
              AllOf(HasSubstr("Unigram"), HasSubstr("BPE")));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["dropout"] = 0.1; }), HasSubstr("dropout"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }),
              HasSubstr("end_of_word_suffix"));
}

std::string refusal_of_expression(const std::string& expression) {
  return refusal_of([&](json& f) {
    f["pre_tokenizer"] = {
        {"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}};
  });
}

TEST(Tokenizer, ExpressionsThatPcre2MightReadOtherwiseAreRefused) {
  for (const char* expression :
       {"\\w+", "\\bx", "[a&&b]", "[[:alpha:]]", "\\p{Han}", "\\p{Mn}", "(a)\\1", "(?i)a", "a{2}?",
        "a{2}+", "a**", "(?i:ss)", "(?i:\\p{L})", "(?i:[a])", "[^a[^b]]", "(?<n>a)", "\\h", "\\X",
        "*a"}) {
    EXPECT_THAT(refusal_of_expression(expression), HasSubstr("which is not supported"))
        << expression;
  }
  EXPECT_THAT(refusal_of_expression("\\w+"),
              AllOf(HasSubstr("tokenizer.json: pre_tokenizer"), HasSubstr("has \\w at byte 1")));
  for (const char* expression : {"(a", "a)", "[a", "[]", "\\", "\\p{L", "\\x{110000}", "[b-a]"}) {
    EXPECT_THAT(refusal_of_expression(expression), HasSubstr("byte")) << expression;
  }
}

TEST(Tokenizer, AnExpressionThatNeverEndsIsGivenUp) {
  json file = small_file();
  file["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", "(?:a+)+$"}}}, {"behavior", "Isolated"}};
  const auto tokenizer = open_json(file);
  EXPECT_THAT(error_of_encoding(*tokenizer, std::string(100, 'a') + "b"), HasSubstr("gives up"));
}

TEST(Tokenizer, NormalizersAndDecodersThatBlowTextsUpAreRefused) {
  const json doubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  json file = small_file();
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", json(40, doubling)}};
  EXPECT_THAT(error_of_encoding(*open_json(file), std::string(100, 'a')),
              HasSubstr("tokenizer.json: normalizer"));
  EXPECT_THAT(refusal_of([&](json& f) {
                f["decoder"] = {{"type", "Sequence"}, {"decoders", json(40, doubling)}};
              }),
              HasSubstr("tokenizer.json: decoder"));
}

TEST(Tokenizer, SingleWordTokensAreNotFoundInsideOfWords) {
  json file = small_file();
  file["added_tokens"][0]["single_word"] = true;
  const auto tokenizer = open_json(file);
  EXPECT_THAT(tokenizer->encode("<end>a<end> <end>", false), ElementsAre(0, 5));
  EXPECT_THAT(tokenizer->encode("-<end>-", false), ElementsAre(5));
}

TEST(Tokenizer, TheLongestOfNestedAddedTokensIsFoundAtEveryPlace) {
  json file = small_file();
  int id = 6;
  for (const char* content : {"<", "<e", "<ez", "<end>x", "<f"}) {
    file["added_tokens"].push_back({{"id", id++}, {"content", content}, {"normalized", false}});
  }
  // < <e <ez <end> <end>x <f: 6 7 8 5 9 10
  EXPECT_THAT(open_json(file)->encode("<e<ez<end><end>x<f<", false),
              ElementsAre(7, 8, 5, 9, 10, 6));
}

TEST(Tokenizer, ManyAddedTokensAreReadInSeconds) {
  json file = small_file();
  for (int i = 0; i < 100000; ++i) {
    file["added_tokens"].push_back(
        {{"id", 6 + i}, {"content", fmt::format("<{}>", i)}, {"normalized", false}});
  }
  EXPECT_THAT(open_json(file)->encode("a<99999>b", false), ElementsAre(0, 100005, 1));
}

TEST(Tokenizer, PartsOfOneCharacterAreHeldBackUntilItIsComplete) {
  const auto tokenizer = open_tokenizer(*posix_files(), books);
  const std::vector<int32_t> ids = tokenizer->encode("x\xF0\x9F\x98\x80y", false);
  const auto stream = tokenizer->start_decoding(false);
  std::vector<std::string> parts;
  for (const int32_t id : ids) parts.push_back(stream->push(id));
  EXPECT_EQ(stream->finish(), "");
  EXPECT_THAT(parts, ElementsAre("x", "", "", "", "\xF0\x9F\x98\x80", "y"));
}

TEST(Tokenizer, ACharacterThatNeverBecomesCompleteIsReplaced) {
  const auto tokenizer = open_tokenizer(*posix_files(), books);
  const std::vector<int32_t> ids = tokenizer->encode("\xF0\x9F\x98\x80", false);
  const auto stream = tokenizer->start_decoding(false);
  EXPECT_EQ(stream->push(ids[0]), "");
  EXPECT_EQ(stream->finish(), "\xEF\xBF\xBD");
}

TEST(Tokenizer, DamagedModelsAreRefused) {
  EXPECT_THAT(refusal_of([](json& f) { f["model"].erase("vocab"); }), HasSubstr("vocab"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = -1; }), HasSubstr("\"a\""));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = 1; }), HasSubstr("same id 1"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = 3000000000u; }),
              HasSubstr("2^31"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = 1.5; }), HasSubstr("1.5"));
  EXPECT_THAT(refusal_of([](json& f) { f["added_tokens"][0].erase("id"); }),
              AllOf(HasSubstr("tokenizer.json: added_tokens"), HasSubstr("\"id\" is missing")));
  EXPECT_THAT(refusal_of([](json& f) { f["added_tokens"][0]["id"] = int64_t{1} << 40; }),
              HasSubstr("next free id"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["merges"].push_back("b c"); }),
              HasSubstr("\"bc\""));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["merges"].push_back("a b c"); }),
              HasSubstr("merge 2"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["merges"].push_back(3); }), HasSubstr("merge 2"));
}

TEST(Tokenizer, AddedTokenWithAnIdThatThePackageWouldNotGiveIsRefused) {
  EXPECT_THAT(refusal_of([](json& f) { f["added_tokens"][0]["id"] = 9; }),
              AllOf(HasSubstr("the id 9"), HasSubstr("5")));
}

// Characters of all lengths, and many of those that decide where words end.
std::string random_text(uint64_t seed) {
  static const std::vector<std::string> characters = {" ",
                                                      " ",
                                                      "\n",
                                                      "\t",
                                                      "a",
                                                      "e",
                                                      "t",
                                                      "'",
                                                      "s",
                                                      "1",
                                                      "9",
                                                      "!",
                                                      "<",
                                                      "\xC3\xA9",
                                                      "\xCC\x81",
                                                      "\xE3\x80\x80",
                                                      "\xE6\xBC\xA2",
                                                      "\xF0\x9F\x98\x80",
                                                      "\xC2\xA0",
                                                      "\xF4\x8F\xBF\xBF",
                                                      "s>"};
  std::string text;
  const uint64_t length = random_below(seed, RandomPurpose::test_data, 0, 60);
  for (uint64_t i = 1; i <= length; ++i) {
    text += characters[random_below(seed, RandomPurpose::test_data, i, characters.size())];
  }
  return text;
}

TEST(Tokenizer, DecodingWhatWasEncodedGivesTheTextBack) {
  const auto byte_level = open_tokenizer(*posix_files(), books);
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const std::string text = random_text(seed);
    ASSERT_EQ(byte_level->decode(byte_level->encode(text, true), false), text) << "seed " << seed;
  }
}

TEST(Tokenizer, OneVeryLongWordTakesSeconds) {
  const auto tokenizer = open_tokenizer(*posix_files(), golden + "spm");
  std::string text;
  while (text.size() < (size_t{1} << 20)) text += "the romance of the forest and ";
  const std::vector<int32_t> ids = tokenizer->encode(text, true);
  EXPECT_LT(ids.size(), text.size() / 2);
  EXPECT_EQ(tokenizer->decode(ids, true), text);
}

TEST(Tokenizer, OneWordOfAMegabyteWithoutSpacesTakesSeconds) {
  std::string text;
  for (uint64_t i = 0; text.size() < (size_t{1} << 20); ++i) {
    text += static_cast<char>('a' + random_below(1, RandomPurpose::test_data, i, 26));
  }
  for (const std::string& folder : {books, golden + "spm", golden + "metaspace"}) {
    const auto tokenizer = open_tokenizer(*posix_files(), folder);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text) << folder;
  }
}

TEST(Tokenizer, LongRunsOfOneClassAreOneWord) {
  const auto tokenizer = open_tokenizer(*posix_files(), books);
  for (const std::string unit : {"a", " ", "1", "!", "\xE6\xBC\xA2"}) {
    std::string text;
    for (int i = 0; i < 200000; ++i) text += unit;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text) << unit;
  }
}

// A watchdog must not take a rank that makes tokens of a long text for one that stands still.
TEST(Tokenizer, WordsOfALongTextCountAsWork) {
  const auto tokenizer = open_tokenizer(*posix_files(), books);
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "word ";
  const uint64_t before = work_counted();
  tokenizer->encode(text, false);
  EXPECT_GE(work_counted(), before + 3);
}

}  // namespace
}  // namespace bitmill

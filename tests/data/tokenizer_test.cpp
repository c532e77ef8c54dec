#include "data/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/random.hpp"
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
                f["normalizer"] = {{"type", "NFC"}};
              }),
              AllOf(HasSubstr("normalizer: NFC"), HasSubstr("Prepend")));
  EXPECT_THAT(refusal_of([](json& f) {
                f["pre_tokenizer"] = {{"type", "Metaspace"}};
              }),
              AllOf(HasSubstr("pre_tokenizer: Metaspace"), HasSubstr("ByteLevel")));
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
  EXPECT_THAT(refusal_of([](json& f) { f["added_tokens"][0]["single_word"] = true; }),
              AllOf(HasSubstr("single_word"), HasSubstr("<end>")));
}

TEST(Tokenizer, ReplaceOfARegularExpressionIsRefused) {
  EXPECT_THAT(
      refusal_of([](json& f) {
        f["normalizer"] = {{"type", "Replace"}, {"pattern", {{"Regex", "x+"}}}, {"content", ""}};
      }),
      HasSubstr("x+"));
}

TEST(Tokenizer, DamagedModelsAreRefused) {
  EXPECT_THAT(refusal_of([](json& f) { f["model"].erase("vocab"); }), HasSubstr("vocab"));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = -1; }), HasSubstr("\"a\""));
  EXPECT_THAT(refusal_of([](json& f) { f["model"]["vocab"]["a"] = 1; }), HasSubstr("same id 1"));
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

TEST(Tokenizer, FolderWithoutTokenizerJsonIsRefusedWithAdvice) {
  const TempFolder folder;
  folder.write("tokenizer.model", "x");
  try {
    open_tokenizer(*posix_files(), folder.path());
    FAIL() << "not refused";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no tokenizer.json"), HasSubstr("tokenizer.model"),
                                    HasSubstr("save_pretrained")));
  }
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

TEST(Tokenizer, LongRunsOfOneClassAreOneWord) {
  const auto tokenizer = open_tokenizer(*posix_files(), books);
  for (const std::string unit : {"a", " ", "1", "!", "\xE6\xBC\xA2"}) {
    std::string text;
    for (int i = 0; i < 200000; ++i) text += unit;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text) << unit;
  }
}

}  // namespace
}  // namespace bitmill

// Which files a folder may hold, and what damaged or hostile ones are told.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "data/tokenizer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Folder = std::map<std::string, std::string>;  // name: content

std::unique_ptr<Tokenizer> open_files(const Folder& content) {
  const TempFolder folder;
  for (const auto& [name, text] : content) folder.write(name, text);
  return open_tokenizer(*posix_files(), folder.path());
}

std::string refusal_of(const Folder& content) {
  try {
    open_files(content);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(TokenizerKinds, FolderWithoutTokenizerIsRefusedWithWhatItLacks) {
  EXPECT_THAT(refusal_of({}), AllOf(HasSubstr("tokenizer.json"), HasSubstr("tokenizer.model"),
                                    HasSubstr("merges.txt")));
  EXPECT_THAT(refusal_of({{"vocab.json", "{}"}}), HasSubstr("only one of the two"));
}

TEST(TokenizerKinds, SequenceOfThousandsOfPartsIsRefused) {
  const json digits = {{"type", "Digits"}};
  const json file = {
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", json(100000, digits)}}},
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 0}}}, {"merges", json::array()}}}};
  EXPECT_THAT(refusal_of({{"tokenizer.json", file.dump()}}),
              AllOf(HasSubstr("pre_tokenizer"), HasSubstr("100000 parts")));
}

// Letters a, b with the token ab, and <s>, in the manner of `name`.
Folder vocab_and_merges(const std::string& name) {
  const json config = {{"tokenizer_class", name},
                       {"bos_token", "<s>"},
                       {"added_tokens_decoder", {{"3", {{"content", "<s>"}, {"special", true}}}}}};
  return {{"vocab.json", R"({"a": 0, "b": 1, "ab": 2})"},
          {"merges.txt", "#version: 0.2\na b\n"},
          {"tokenizer_config.json", config.dump()}};
}

TEST(TokenizerKinds, VocabAndMergesAreReadAsTheirClassSays) {
  const auto tokenizer = open_files(vocab_and_merges("GPT2Tokenizer"));
  EXPECT_THAT(tokenizer->encode("abb<s>a", true), ElementsAre(2, 1, 3, 0));
  EXPECT_EQ(tokenizer->decode({3, 2, 0}, true), "aba");
  EXPECT_EQ(tokenizer->vocab_size(), 4);
}

TEST(TokenizerKinds, ClassOfConfigJsonCountsWhereNoneIsNamed) {
  Folder folder = vocab_and_merges("");
  EXPECT_THAT(refusal_of(folder), AllOf(HasSubstr("no tokenizer_class"), HasSubstr("Qwen2")));
  folder["config.json"] = R"({"model_type": "qwen2"})";
  EXPECT_THAT(open_files(folder)->encode("ab", true), ElementsAre(2));
  EXPECT_THAT(refusal_of(vocab_and_merges("RobertaTokenizer")),
              AllOf(HasSubstr("RobertaTokenizer"), HasSubstr("save_pretrained")));
}

TEST(TokenizerKinds, BosIsAddedWhenTheConfigAsksForIt) {
  Folder folder = vocab_and_merges("GPT2Tokenizer");
  json config = json::parse(folder["tokenizer_config.json"]);
  config["add_bos_token"] = true;
  folder["tokenizer_config.json"] = config.dump();
  EXPECT_THAT(open_files(folder)->encode("ab", true), ElementsAre(3, 2));
  EXPECT_THAT(open_files(folder)->encode("ab", false), ElementsAre(2));
  config["bos_token"] = nullptr;
  folder["tokenizer_config.json"] = config.dump();
  EXPECT_THAT(refusal_of(folder), HasSubstr("no bos_token is named"));
  config["bos_token"] = "<nowhere>x";
  config.erase("added_tokens_decoder");
  folder["tokenizer_config.json"] = config.dump();
  EXPECT_THAT(refusal_of(folder), HasSubstr("neither in the vocabulary"));
}

TEST(TokenizerKinds, SpecialTokensOfOldFoldersAreRead) {
  Folder folder = vocab_and_merges("Qwen2Tokenizer");
  folder["tokenizer_config.json"] = R"({"tokenizer_class": "Qwen2Tokenizer"})";
  folder["added_tokens.json"] = R"({"<x>": 3, "<y>": 4})";
  folder["special_tokens_map.json"] = R"({"additional_special_tokens": ["<x>"]})";
  const auto tokenizer = open_files(folder);
  EXPECT_THAT(tokenizer->encode("<x><y>", false), ElementsAre(3, 4));
  EXPECT_EQ(tokenizer->decode({3, 4}, true), "<y>");
}

TEST(TokenizerKinds, DamagedVocabAndMergesAreRefusedWithFileAndPlace) {
  Folder folder = vocab_and_merges("GPT2Tokenizer");
  folder["merges.txt"] = "a b\nb c\n";
  EXPECT_THAT(refusal_of(folder), AllOf(HasSubstr("merges.txt: merge 1"), HasSubstr("\"c\"")));
  folder["merges.txt"] = "a b c\n";
  EXPECT_THAT(refusal_of(folder), HasSubstr("merges.txt: merge 0"));
  folder = vocab_and_merges("GPT2Tokenizer");
  folder["vocab.json"] = "[]";
  EXPECT_THAT(refusal_of(folder), HasSubstr("vocab.json"));
  folder = vocab_and_merges("GPT2Tokenizer");
  folder["tokenizer_config.json"] =
      R"({"tokenizer_class": "GPT2Tokenizer", "added_tokens_decoder": {"x": {"content": "y"}}})";
  EXPECT_THAT(refusal_of(folder), AllOf(HasSubstr("added_tokens_decoder"), HasSubstr("\"x\"")));
  folder["added_tokens.json"] = R"({"<x>": "three"})";
  folder["tokenizer_config.json"] = R"({"tokenizer_class": "GPT2Tokenizer"})";
  EXPECT_THAT(refusal_of(folder), AllOf(HasSubstr("added_tokens.json"), HasSubstr("three")));
}

TEST(TokenizerKinds, TiktokenFileOfAnotherModelIsRefused) {
  EXPECT_THAT(refusal_of({{"tokenizer.model", "YQ== 0\nYg== 1\n"}}),
              AllOf(HasSubstr("2 tokens"), HasSubstr("128000"), HasSubstr("transformers")));
  EXPECT_THAT(refusal_of({{"tokenizer.model", "YQ== 0\nY*== 1\n"}}),
              AllOf(HasSubstr("line 2"), HasSubstr("base64")));
  EXPECT_THAT(refusal_of({{"tokenizer.model", "YQ== 0\nYg== 99999999999\n"}}), HasSubstr("line 2"));
  const std::string long_token = std::string(4000000, 'Q') + " 1\n";
  EXPECT_THAT(refusal_of({{"tokenizer.model", "YQ== 0\n" + long_token}}),
              AllOf(HasSubstr("line 2"), HasSubstr("3000000 bytes")));
}

// A protobuf field: number, wire type 2.
std::string bytes_field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}
std::string number_field(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}

std::string piece(const std::string& text, float score, int type) {
  std::string bits(sizeof(score), '\0');
  std::memcpy(bits.data(), &score, sizeof(score));
  return bytes_field(
      1, bytes_field(1, text) + static_cast<char>(2 << 3 | 5) + bits + number_field(3, type));
}

const std::string space = "\u2581";

// <unk> <s> </s> ▁ a b ab ▁ab, BPE.
std::string sentencepiece_file(const std::string& trainer, const std::string& normalizer) {
  return piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece(space, -9, 1) +
         piece("a", -9, 1) + piece("b", -9, 1) + piece("ab", -1, 1) + piece(space + "ab", -2, 1) +
         bytes_field(2, trainer) + bytes_field(3, normalizer);
}
const std::string bpe_trainer = number_field(3, 2);
const std::string identity = number_field(3, 1) + number_field(4, 0) + number_field(5, 1);

TEST(TokenizerKinds, SentencePieceModelHasBosAndItsSpecialPieces) {
  const auto tokenizer =
      open_files({{"tokenizer.model", sentencepiece_file(bpe_trainer, identity)}});
  EXPECT_THAT(tokenizer->encode("ab aba</s>b", true), ElementsAre(1, 7, 7, 4, 2, 3, 5));
  EXPECT_EQ(tokenizer->decode({1, 7, 7, 4}, true), "ab aba");
  EXPECT_EQ(tokenizer->decode({1, 7}, false), "<s> ab");
  EXPECT_EQ(tokenizer->vocab_size(), 8);
}

TEST(TokenizerKinds, SentencePieceConventionsComeFromTheConfig) {
  Folder folder = {{"tokenizer.model", sentencepiece_file(bpe_trainer, identity)}};
  folder["tokenizer_config.json"] =
      R"({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false, "add_eos_token": true,
          "added_tokens_decoder": {"8": {"content": "<pad>", "special": true}}})";
  const auto tokenizer = open_files(folder);
  EXPECT_THAT(tokenizer->encode("ab<pad>", true), ElementsAre(7, 8, 2));
  folder["tokenizer_config.json"] = R"({"legacy": false})";
  EXPECT_THAT(refusal_of(folder), AllOf(HasSubstr("legacy"), HasSubstr("save_pretrained")));
  folder["tokenizer_config.json"] = R"({"tokenizer_class": "T5Tokenizer"})";
  EXPECT_THAT(refusal_of(folder), HasSubstr("T5Tokenizer"));
}

TEST(TokenizerKinds, SentencePieceModelsThatAreNotUnderstoodAreRefusedByName) {
  const auto refusal = [](const std::string& trainer, const std::string& normalizer) {
    return refusal_of({{"tokenizer.model", sentencepiece_file(trainer, normalizer)}});
  };
  EXPECT_THAT(refusal(number_field(3, 1), identity), HasSubstr("model type 1"));
  EXPECT_THAT(refusal(bpe_trainer, identity + bytes_field(2, "map")), HasSubstr("character map"));
  EXPECT_THAT(refusal(bpe_trainer, number_field(4, 1)), HasSubstr("remove_extra_whitespaces"));
}

TEST(TokenizerKinds, DamagedSentencePieceModelsAreRefused) {
  const std::string good = sentencepiece_file(bpe_trainer, identity);
  for (size_t cut = 1; cut + bpe_trainer.size() + identity.size() + 4 < good.size(); ++cut) {
    EXPECT_NE(refusal_of({{"tokenizer.model", good.substr(0, cut)}}), "not refused") << cut;
  }
  EXPECT_THAT(refusal_of({{"tokenizer.model", ""}}), HasSubstr("tokenizer.model"));
  EXPECT_THAT(refusal_of({{"tokenizer.model", "no model at all"}}), HasSubstr("neither"));
  // A length of 2^63.
  EXPECT_THAT(refusal_of({{"tokenizer.model", "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"}}),
              HasSubstr("cut short"));
  EXPECT_THAT(refusal_of({{"tokenizer.model", good + piece("ab", 0, 1)}}), HasSubstr("refuses"));
  EXPECT_THAT(refusal_of({{"tokenizer.model", good + piece("", 0, 1)}}), HasSubstr("piece 8"));
  EXPECT_THAT(refusal_of({{"tokenizer.model", good + piece("x", 0, 9)}}), HasSubstr("type 9"));
  EXPECT_THAT(refusal_of({{"tokenizer.model", good + piece("\xFF", 0, 1)}}), HasSubstr("UTF-8"));
}

}  // namespace
}  // namespace bitmill

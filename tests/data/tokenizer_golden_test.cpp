// Tokens equal those of the `tokenizers` package: files made by golden/tokenizers/make_golden.py.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.hpp"
#include "base/json.hpp"
#include "data/tokenizer.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const std::string golden = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/";

// Every text of golden/tokenizers/`name`.jsonl; the first line holds the package's version.
void expect_golden(const std::string& folder, const std::string& name) {
  const auto files = posix_files();
  const auto tokenizer = open_tokenizer(*files, folder);
  std::istringstream lines(read_text(*files, golden + name + ".jsonl"));
  std::string line;
  ASSERT_TRUE(std::getline(lines, line));
  ASSERT_TRUE(parse_json(line, name).contains("tokenizers"));
  int texts = 0;
  while (std::getline(lines, line)) {
    const json expected = parse_json(line, name);
    const std::string text = expected.at("text");
    SCOPED_TRACE(expected.at("text").dump());
    const auto ids = tokenizer->encode(text, false);
    EXPECT_EQ(ids, expected.at("ids").get<std::vector<int32_t>>());
    const auto special = tokenizer->encode(text, true);
    EXPECT_EQ(special, expected.at("special").get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer->decode(special, false), expected.at("decoded").get<std::string>());
    std::vector<int32_t> halves;
    for (size_t i = 0; i < ids.size(); i += 2) halves.push_back(ids[i]);
    EXPECT_EQ(tokenizer->decode(halves, true), expected.at("decoded_halves").get<std::string>());
    ++texts;
  }
  EXPECT_GE(texts, 70);
}

TEST(TokenizerGolden, ByteLevelOfBooks2M) {
  expect_golden(BITMILL_SOURCE_DIR "/tests/data/books-2M", "books-2M");
}

TEST(TokenizerGolden, SentencePieceStyleWithMissingBytes) { expect_golden(golden + "spm", "spm"); }

TEST(TokenizerGolden, DigitsPrefixSpaceIgnoreMergesAndStrippingAddedTokens) {
  expect_golden(golden + "options", "options");
}

// llama.cpp's vectors: texts with "\n__ggml_vocab_test__\n" between, and a line of ids for each.
TEST(TokenizerGolden, Llama2GivesTheIdsOfLlamaCpp) {
  const std::string shared = BITMILL_SOURCE_DIR "/../shared/tokenizers/";
  const auto files = posix_files();
  if (!files->exists(shared + "llama2/tokenizer.json")) {
    GTEST_SKIP() << shared << " is not there";
  }
  const auto tokenizer = open_tokenizer(*files, shared + "llama2");
  const std::string texts = read_text(*files, shared + "vectors/llama-spm.inp");
  std::istringstream lines(read_text(*files, shared + "vectors/llama-spm.out"));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int cases = 0;
  for (size_t at = 0; at < texts.size(); ++cases) {
    const size_t end = texts.find(separator, at);
    const std::string text = texts.substr(at, end == texts.npos ? end : end - at);
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    std::istringstream numbers(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(tokenizer->encode(text, false), expected) << json(text).dump();
    at = end == texts.npos ? texts.size() : end + separator.size();
  }
  EXPECT_GE(cases, 40);
}

}  // namespace
}  // namespace bitmill

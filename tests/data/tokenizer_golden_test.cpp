// Tokens equal those of the `tokenizers` package: files made by golden/tokenizers/make_golden.py.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.hpp"
#include "base/json.hpp"
#include "data/tokenizer.hpp"
#include "data/utf8.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;

const std::string golden = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/";

// Token by token.
std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                     bool skip_special) {
  const auto stream = tokenizer.start_decoding(skip_special);
  std::string text;
  for (const int32_t id : ids) {
    const std::string part = stream->push(id);
    EXPECT_EQ(first_invalid_utf8(part), part.npos);  // whole characters only
    text += part;
  }
  return text + stream->finish();
}

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
    EXPECT_EQ(streamed(*tokenizer, special, false), expected.at("decoded").get<std::string>());
    std::vector<int32_t> halves;
    for (size_t i = 0; i < ids.size(); i += 2) halves.push_back(ids[i]);
    EXPECT_EQ(streamed(*tokenizer, halves, true), expected.at("decoded_halves").get<std::string>());
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

TEST(TokenizerGolden, MetaspaceOfTheFirstPieceNfkcAndAllBytes) {
  expect_golden(golden + "metaspace", "metaspace");
}

TEST(TokenizerGolden, SplitsNfcSingleWordsAndAnEos) { expect_golden(golden + "split", "split"); }

uint32_t fnv1a(std::string_view text) {
  uint32_t hash = 0x811C9DC5;
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x01000193;
  return hash;
}

// What make_nasty.py hashes of one text.
std::string record(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> ids = tokenizer.encode(text, false);
  std::vector<int32_t> halves;
  for (size_t i = 0; i < ids.size(); i += 2) halves.push_back(ids[i]);
  return fmt::format("{}\n{}\n{}\n{}", fmt::join(ids, " "),
                     fmt::join(tokenizer.encode(text, true), " "), streamed(tokenizer, ids, true),
                     streamed(tokenizer, halves, true));
}

// The texts of golden/tokenizers/nasty.jsonl through the tokenizer of `folder`.
void expect_nasty(const std::string& folder, const std::string& name) {
  const auto files = posix_files();
  const auto tokenizer = open_tokenizer(*files, folder);
  const json all = parse_json(read_text(*files, golden + "nasty.json"), "nasty.json");
  const std::string hashes = all.at(name);
  std::istringstream lines(read_text(*files, golden + "nasty.jsonl"));
  size_t texts = 0;
  for (std::string line; std::getline(lines, line); ++texts) {
    const std::string text = parse_json(line, name).get<std::string>();
    const std::string expected = hashes.substr(8 * texts, 8);
    EXPECT_EQ(fmt::format("{:08x}", fnv1a(record(*tokenizer, text))), expected) << line;
  }
  EXPECT_EQ(texts, 400u);
}

TEST(TokenizerGolden, NastyTextsThroughOurOwnFiles) {
  expect_nasty(BITMILL_SOURCE_DIR "/tests/data/books-2M", "books-2M");
  for (const char* name : {"spm", "options", "metaspace", "split"}) {
    SCOPED_TRACE(name);
    expect_nasty(golden + name, name);
  }
}

const std::string shared = BITMILL_SOURCE_DIR "/../shared/";

// The file `name` of `from`, alone in a folder: what open_tokenizer() would prefer is not there.
void copy_file(const std::string& from, const std::string& name, const TempFolder& to) {
  to.write(name, read_text(*posix_files(), from + "/" + name));
}

#define SKIP_WITHOUT_SHARED()                                           \
  if (!posix_files()->exists(shared + "tokenizers")) {                  \
    GTEST_SKIP() << "not run: " << shared << "tokenizers is not there"; \
  }

TEST(TokenizerGolden, NastyTextsThroughPublishedFiles) {
  SKIP_WITHOUT_SHARED();
  expect_nasty(shared + "models/stories260K", "stories260K");
  expect_nasty(shared + "tokenizers/llama2", "llama2-json");
  expect_nasty(shared + "tokenizers/llama3", "llama3");
  expect_nasty(shared + "tokenizers/qwen2", "qwen2");
  const TempFolder folder;
  copy_file(shared + "tokenizers/llama2", "tokenizer.model", folder);
  expect_nasty(folder.path(), "llama2-model");
}

// llama.cpp's vectors: texts with "\n__ggml_vocab_test__\n" between, and a line of ids for each.
void expect_vectors(const std::string& folder, const std::string& name) {
  const auto files = posix_files();
  const auto tokenizer = open_tokenizer(*files, folder);
  const std::string texts = read_text(*files, shared + "tokenizers/vectors/" + name + ".inp");
  std::istringstream lines(read_text(*files, shared + "tokenizers/vectors/" + name + ".out"));
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

TEST(TokenizerGolden, Llama2GivesTheIdsOfLlamaCppFromBothOfItsFiles) {
  SKIP_WITHOUT_SHARED();
  for (const char* name : {"tokenizer.json", "tokenizer.model"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    copy_file(shared + "tokenizers/llama2", name, folder);
    expect_vectors(folder.path(), "llama-spm");
  }
}

TEST(TokenizerGolden, Llama3GivesTheIdsOfLlamaCpp) {
  SKIP_WITHOUT_SHARED();
  expect_vectors(shared + "tokenizers/llama3", "llama-bpe");
}

TEST(TokenizerGolden, Qwen2GivesTheIdsOfLlamaCpp) {
  SKIP_WITHOUT_SHARED();
  expect_vectors(shared + "tokenizers/qwen2", "qwen2");
}

}  // namespace
}  // namespace bitmill

#include "data/token_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <span>

#include "base/error.hpp"
#include "base/files.hpp"
#include "data/tokenizer.hpp"
#include "format/safetensors_writer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string model = BITMILL_SOURCE_DIR "/tests/data/books-2M";
const std::string spm = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/spm";
constexpr int64_t vocab_size = 2048;

template <class Failure>
std::string error_of(const std::string& path, int64_t vocab = vocab_size) {
  try {
    read_tokens(*posix_files(), path, model, vocab);
  } catch (const Failure& error) {
    return error.what();
  }
  return "not refused";
}

template <class T>
void write_ids(const std::string& path, Dtype dtype, std::vector<int64_t> shape,
               const std::vector<T>& ids, const std::string& name = "input_ids") {
  const auto produce = [&](const ByteSink& sink) { sink(std::as_bytes(std::span(ids))); };
  write_safetensors(*posix_files(), path, {{name, dtype, std::move(shape), produce}}, {});
}

TEST(TokenText, TextFileIsTokenizedOnceWithSpecialTokens) {
  const TempFolder folder;
  const std::string path = folder.write("a.txt", "The forest.\n\nThe end.\n");
  const auto files = posix_files();
  const Tokens tokens = read_tokens(*files, path, spm, 1000);
  EXPECT_EQ(tokens.ids, open_tokenizer(*files, spm)->encode("The forest.\n\nThe end.\n", true));
  EXPECT_EQ(tokens.ids.front(), 1);  // the BOS of its template
  EXPECT_FALSE(tokens.is_windows());
}

TEST(TokenText, JsonLinesAreJoinedWithAnEmptyLine) {
  const TempFolder folder;
  const std::string path = folder.write(
      "a.jsonl", "{\"text\": \"one\"}\r\n\n{\"id\": 3, \"text\": \"\"}\n{\"text\":\"two\"}");
  const auto files = posix_files();
  EXPECT_EQ(read_tokens(*files, path, model, vocab_size).ids,
            open_tokenizer(*files, model)->encode("one\n\n\n\ntwo", true));
}

TEST(TokenText, BadJsonLineIsNamed) {
  const TempFolder folder;
  EXPECT_THAT(error_of<FormatError>(folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"text\": 3}\n")),
              AllOf(HasSubstr("line 2"), HasSubstr("text")));
  EXPECT_THAT(error_of<FormatError>(folder.write("b.jsonl", "\n{\"text\": \n")),
              HasSubstr("line 2"));
}

TEST(TokenText, TextThatIsNotUtf8IsRefusedWithFileAndByte) {
  const TempFolder folder;
  EXPECT_THAT(error_of<FormatError>(folder.write("latin1.txt", "caf\xE9 x")),
              AllOf(HasSubstr("latin1.txt"), HasSubstr("byte 3")));
}

TEST(TokenText, TokenizerOfALargerModelIsRefused) {
  const TempFolder folder;
  EXPECT_THAT(error_of<FormatError>(folder.write("a.txt", "the forest"), 100),
              AllOf(HasSubstr("position 0"), HasSubstr("[0, 100)")));
}

TEST(TokenText, OneDimensionalTokenFileComesBackAsWritten) {
  const TempFolder folder;
  const auto files = posix_files();
  write_token_file(*files, folder / "t.safetensors", {{5, 0, 2047}, 0, 0});
  const Tokens tokens = read_tokens(*files, folder / "t.safetensors", "no folder", vocab_size);
  EXPECT_THAT(tokens.ids, ElementsAre(5, 0, 2047));
  EXPECT_FALSE(tokens.is_windows());
  EXPECT_FALSE(files->exists(folder / "t.safetensors.new"));
}

TEST(TokenText, WindowsComeBackAsWritten) {
  const TempFolder folder;
  const auto files = posix_files();
  write_token_file(*files, folder / "t.safetensors", {{1, 2, 3, 4, 5, 6}, 2, 3});
  const Tokens tokens = read_tokens(*files, folder / "t.safetensors", "no folder", vocab_size);
  EXPECT_THAT(tokens.ids, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(tokens.windows, 2);
  EXPECT_EQ(tokens.window_len, 3);
}

TEST(TokenText, Int64TokensAreReadWhenTheyFit) {
  const TempFolder folder;
  write_ids<int64_t>(folder / "t.safetensors", Dtype::int64, {2}, {7, 2047});
  EXPECT_THAT(read_tokens(*posix_files(), folder / "t.safetensors", model, vocab_size).ids,
              ElementsAre(7, 2047));
  write_ids<int64_t>(folder / "big.safetensors", Dtype::int64, {2}, {7, int64_t{1} << 32});
  EXPECT_THAT(error_of<FormatError>(folder / "big.safetensors", int64_t{1} << 40),
              AllOf(HasSubstr("position 1"), HasSubstr("4294967296")));
}

TEST(TokenText, FirstIdOutsideTheVocabularyIsNamedWithItsPlace) {
  const TempFolder folder;
  write_ids<int32_t>(folder / "text.safetensors", Dtype::int32, {4}, {1, -3, 2048, 9});
  EXPECT_THAT(error_of<FormatError>(folder / "text.safetensors"),
              AllOf(HasSubstr("position 1 is -3"), HasSubstr("[0, 2048)")));
  write_ids<int32_t>(folder / "rows.safetensors", Dtype::int32, {2, 2}, {1, 3, 4, 2048});
  EXPECT_THAT(error_of<FormatError>(folder / "rows.safetensors"),
              HasSubstr("row 1, column 1 is 2048"));
}

TEST(TokenText, TokenFilesOfAnotherKindAreRefused) {
  const TempFolder folder;
  write_ids<float>(folder / "float.safetensors", Dtype::float32, {1}, {1.0F});
  EXPECT_THAT(error_of<FormatError>(folder / "float.safetensors"), HasSubstr("F32"));
  write_ids<int32_t>(folder / "cube.safetensors", Dtype::int32, {1, 1, 1}, {1});
  EXPECT_THAT(error_of<FormatError>(folder / "cube.safetensors"), HasSubstr("3 dimensions"));
  write_ids<int32_t>(folder / "empty.safetensors", Dtype::int32, {0, 8}, {});
  EXPECT_THAT(error_of<FormatError>(folder / "empty.safetensors"), HasSubstr("no tokens"));
  write_ids<int32_t>(folder / "name.safetensors", Dtype::int32, {1}, {1}, "tokens");
  EXPECT_THAT(error_of<FormatError>(folder / "name.safetensors"), HasSubstr("input_ids"));
}

// Of a file whose ending is neither .txt nor .jsonl, the content decides.
TEST(TokenText, ATextIsATextUnderAnyName) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string text = "# The forest\n\n[1] The end.\n";
  const auto expected = open_tokenizer(*files, model)->encode(text, true);
  for (const char* name : {"a.md", "a.raw", "a", "a.tokens", "a.txt"}) {
    EXPECT_EQ(read_tokens(*files, folder.write(name, text), model, vocab_size).ids, expected)
        << name;
  }
}

TEST(TokenText, JsonLinesAreFoundByTheirFirstLineWhereTheEndingSaysNothing) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string lines = "\n{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  const auto expected = open_tokenizer(*files, model)->encode("one\n\ntwo", true);
  for (const char* name : {"a.json", "a.ndjson", "a", "a.jsonl"}) {
    EXPECT_EQ(read_tokens(*files, folder.write(name, lines), model, vocab_size).ids, expected)
        << name;
  }
  // .txt is believed.
  EXPECT_EQ(read_tokens(*files, folder.write("a.txt", lines), model, vocab_size).ids,
            open_tokenizer(*files, model)->encode(lines, true));
}

TEST(TokenText, ATokenFileIsFoundByItsHeaderWhereTheEndingSaysNothing) {
  const TempFolder folder;
  const auto files = posix_files();
  write_token_file(*files, folder / "tokens.bin", {{5, 0, 2047}, 0, 0});
  EXPECT_THAT(read_tokens(*files, folder / "tokens.bin", "no folder", vocab_size).ids,
              ElementsAre(5, 0, 2047));
}

TEST(TokenText, FilesThatAreNoTextAreRefusedByTheirKindWithAWayOut) {
  using namespace std::string_view_literals;
  const TempFolder folder;
  struct Case {
    const char* name;
    std::string_view content;
    const char* words;
    const char* advice;
  };
  for (const Case& one : {Case{"t.npy", "\x93NUMPY\x01\x00v"sv, "NumPy", "save_file"},
                          Case{"t.npz", "PK\x03\x04rest"sv, "zip archive", "save_file"},
                          Case{"t.parquet", "PAR1rest"sv, "Parquet", ".jsonl"},
                          Case{"t.gz", "\x1f\x8brest"sv, "gzip", "unpack"},
                          Case{"t.csv",
                               "\xff\xfe"
                               "a\0"sv,
                               "UTF-16", "iconv"},
                          Case{"t.bin", "ab\0c"sv, "byte 2 is 0", "input_ids"},
                          Case{"t.json", "[{\"text\": \"a\"}]"sv, "every line", "jq"}}) {
    EXPECT_THAT(error_of<UsageError>(folder.write(one.name, one.content)),
                AllOf(HasSubstr(one.name), HasSubstr(one.words), HasSubstr(one.advice)));
  }
}

template <class Failure>
std::string error_with_key(const std::string& path, const std::string& key) {
  try {
    read_tokens(*posix_files(), path, model, vocab_size, key);
  } catch (const Failure& error) {
    return error.what();
  }
  return "not refused";
}

TEST(TokenText, AnotherKeyHoldsTheTextOfJsonLines) {
  const TempFolder folder;
  const auto files = posix_files();
  const std::string path =
      folder.write("a.jsonl", "{\"content\": \"one\", \"text\": 3}\n{\"content\": \"two\"}\n");
  EXPECT_EQ(read_tokens(*files, path, model, vocab_size, "content").ids,
            open_tokenizer(*files, model)->encode("one\n\ntwo", true));
}

TEST(TokenText, AMissingKeyIsNamedTogetherWithTheKeysThatAreThere) {
  const TempFolder folder;
  const std::string path =
      folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"id\": 7, \"content\": \"y\", \"tags\": []}\n");
  EXPECT_THAT(error_of<FormatError>(path),
              AllOf(HasSubstr("line 2: there is no \"text\""), HasSubstr("\"content\" (string)"),
                    HasSubstr("\"id\" (number)"), HasSubstr("--text-key content")));
  EXPECT_THAT(error_with_key<FormatError>(path, "conent"),
              AllOf(HasSubstr("line 1"), HasSubstr("no \"conent\""), HasSubstr("--text-key text")));
  EXPECT_THAT(error_of<FormatError>(folder.write("ids.jsonl", "{\"input_ids\": [1, 2]}")),
              AllOf(HasSubstr("token ids in JSON are not read"), HasSubstr("save_file")));
  EXPECT_THAT(error_of<FormatError>(folder.write("chat.jsonl", "{\"conversations\": []}")),
              AllOf(HasSubstr("none holds a string"), HasSubstr("\"messages\"")));
  EXPECT_THAT(error_of<FormatError>(folder.write("list.jsonl", "[1]")),
              HasSubstr("expected an object"));
}

TEST(TokenText, AKeyForAFileWithoutKeysIsRefused) {
  const TempFolder folder;
  EXPECT_THAT(error_with_key<UsageError>(folder.write("a.txt", "a text"), "content"),
              HasSubstr("--text-key content has no effect"));
  write_token_file(*posix_files(), folder / "t.safetensors", {{5, 0, 2047}, 0, 0});
  EXPECT_THAT(error_with_key<UsageError>(folder / "t.safetensors", "content"),
              HasSubstr("--text-key content has no effect"));
}

}  // namespace
}  // namespace bitmill

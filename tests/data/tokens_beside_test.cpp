// Tokens that only the files beside a tokenizer.json name: tests/golden/tokenizers/beside.jsonl,
// made with transformers by make_beside.py there.

#include "data/tokens_beside.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.hpp"
#include "base/files.hpp"
#include "data/tokenizer.hpp"
#include "temp_folder.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string beside_cases = BITMILL_SOURCE_DIR "/tests/golden/tokenizers/beside.jsonl";
const std::string books_tokenizer = BITMILL_SOURCE_DIR "/tests/data/books-2M/tokenizer.json";

std::vector<json> cases_beside() {
  std::vector<json> read;
  std::istringstream lines(read_text(*posix_files(), beside_cases));
  for (std::string line; std::getline(lines, line);) read.push_back(json::parse(line));
  return read;
}

class TokensBeside : public testing::TestWithParam<json> {};

TEST_P(TokensBeside, MakeTheTokensThatTransformersMakes) {
  const auto files = posix_files();
  const TempFolder folder;
  folder.write("tokenizer.json", read_text(*files, books_tokenizer));
  for (const auto& [name, content] : GetParam().at("files").items()) {
    folder.write(name, content.dump());
  }
  const json& ids = GetParam().at("ids");
  if (ids.is_null()) {
    EXPECT_THROW(open_tokenizer(*files, folder.path()), FormatError);
    return;
  }
  const auto tokenizer = open_tokenizer(*files, folder.path());
  EXPECT_EQ(tokenizer->encode(GetParam().at("text").get<std::string>(), false),
            ids.get<std::vector<int32_t>>());
}

INSTANTIATE_TEST_SUITE_P(Golden, TokensBeside, testing::ValuesIn(cases_beside()),
                         [](const auto& tested) {
                           return tested.param.at("name").template get<std::string>();
                         });

TEST(TokensBesideErrors, NameTheFileTheTokenAndBothIds) {
  const auto files = posix_files();
  const TempFolder folder;
  folder.write("tokenizer_config.json",
               R"({"added_tokens_decoder": {"7": {"content": "</s>"}, "x": {"content": "y"}}})");
  AddedToken own;
  own.content = "</s>";
  own.id = 1;
  const auto message = [&] {
    try {
      with_tokens_beside(*files, folder.path(), {own});
    } catch (const FormatError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message(), HasSubstr("the key \"x\" is not an id"));
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"7": {"content": "</s>"}}})");
  EXPECT_THAT(message(), testing::AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("\"</s>\""),
                                        HasSubstr("id 7"), HasSubstr("gives it 1")));
}

}  // namespace
}  // namespace bitmill

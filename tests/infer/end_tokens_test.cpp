#include "infer/end_tokens.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<int32_t> end_tokens(const char* generation, const char* config) {
  MemoryFiles files;
  files.put("m/other", "");
  if (generation != nullptr) files.put("m/generation_config.json", generation);
  if (config != nullptr) files.put("m/config.json", config);
  return read_end_tokens(files, "m", 100);
}

std::string end_token_refusal(const char* generation) {
  try {
    end_tokens(generation, "{}");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(EndTokens, GenerationConfigWinsAndMayHaveAListOrOne) {
  EXPECT_THAT(end_tokens(R"({"eos_token_id": [7, 9]})", R"({"eos_token_id": 2})"),
              ElementsAre(7, 9));
  EXPECT_THAT(end_tokens(R"({"eos_token_id": 5})", R"({"eos_token_id": 2})"), ElementsAre(5));
}

TEST(EndTokens, ConfigIsAskedWhereGenerationConfigSaysNothing) {
  EXPECT_THAT(end_tokens(nullptr, R"({"eos_token_id": [2, 3]})"), ElementsAre(2, 3));
  EXPECT_THAT(end_tokens(R"({"temperature": 1})", R"({"eos_token_id": 2})"), ElementsAre(2));
  EXPECT_THAT(end_tokens(R"({"eos_token_id": null})", R"({"eos_token_id": 2})"), ElementsAre(2));
  EXPECT_THAT(end_tokens(nullptr, "{}"), IsEmpty());
}

TEST(EndTokens, WhatIsNoTokenIsRefusedWithFileAndValue) {
  for (const char* value : {"-1", "100", "1.5", "\"</s>\"", "[1, 100]", "[true]"}) {
    const std::string words =
        end_token_refusal((std::string(R"({"eos_token_id": )") + value + "}").c_str());
    EXPECT_THAT(words, HasSubstr("m/generation_config.json")) << value;
    EXPECT_THAT(words, HasSubstr("vocabulary of 100")) << value;
  }
  EXPECT_THAT(end_token_refusal("[]"), HasSubstr("must be an object"));
}

}  // namespace
}  // namespace bitmill

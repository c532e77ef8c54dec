#include "serve/api_answer.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serve/served_texts.hpp"

namespace bitmill {
namespace {

// A token that is a part of a character has no text of its own, and so no bytes that are known.
TEST(ApiAnswer, BytesOfATokenAreNullWhereItIsAPartOfACharacter) {
  const test::SmallModels models;
  const ServedModel model(*models.files, test::SmallModels::folder, models.source.config(), "books",
                          100);
  const std::vector<int32_t> parts = models.tokenizer->encode("\U0001F600", false);
  const std::vector<int32_t> whole = models.tokenizer->encode("a", false);
  ASSERT_GT(parts.size(), 1U);
  ASSERT_EQ(whole.size(), 1U);
  TextRequest request;
  request.chat = true;
  request.top_logprobs = 0;
  TextAnswer answer(model, request, {TextTask{.prompt = {5}, .settings = {}}}, "id", 0);
  answer.add({.text = "a",
              .scores = {{.id = parts[0], .known = true}, {.id = whole[0], .known = true}},
              .finish = Finish::max_tokens,
              .tokens = 2});
  const auto scores = nlohmann::json::parse(answer.whole())["choices"][0]["logprobs"]["content"];
  EXPECT_TRUE(scores[0]["bytes"].is_null());
  EXPECT_EQ(scores[1]["bytes"], nlohmann::json({97}));
}

}  // namespace
}  // namespace bitmill

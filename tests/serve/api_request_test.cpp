#include "serve/api_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/request_error.hpp"

namespace bitmill {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TextRequest completion(const std::string& body) { return read_completion(body); }
TextRequest chat(const std::string& body) { return read_chat(body); }

// "STATUS FIELD: MESSAGE"; empty when the body is accepted.
template <class Read>
std::string refusal_of(const Read& read, const std::string& body) {
  try {
    read(body);
  } catch (const RequestError& error) {
    return std::to_string(error.status()) + " " + error.field() + ": " + error.what();
  }
  return "";
}
std::string refused(const std::string& body) { return refusal_of(completion, body); }
std::string refused_chat(const std::string& body) { return refusal_of(chat, body); }

TEST(ApiRequest, ACompletionHasTheDefaultsOfTheApi) {
  const TextRequest request = completion(R"({"prompt": "It was"})");
  EXPECT_EQ(std::get<std::string>(request.prompts.at(0)), "It was");
  EXPECT_EQ(request.max_tokens, 16);
  EXPECT_EQ(request.sampler.temperature, 1);
  EXPECT_EQ(request.sampler.top_p, 1);
  EXPECT_FALSE(request.seed_given);
  EXPECT_EQ(request.top_logprobs, -1);
  EXPECT_FALSE(request.echo || request.stream || request.chat);
}

TEST(ApiRequest, EverySettingReachesTheSampler) {
  const TextRequest request = completion(
      R"({"prompt": [5, 6], "max_tokens": 3, "temperature": 0.5, "top_p": 0.9, "top_k": 7,
          "min_p": 0.1, "repetition_penalty": 1.2, "seed": 11, "stop": ["a", "b"], "stream": true,
          "stream_options": {"include_usage": true}, "echo": true, "logprobs": 2, "model": "m"})");
  EXPECT_THAT(std::get<std::vector<int32_t>>(request.prompts.at(0)), ElementsAre(5, 6));
  EXPECT_EQ(request.max_tokens, 3);
  EXPECT_EQ(request.sampler.temperature, 0.5);
  EXPECT_EQ(request.sampler.top_p, 0.9);
  EXPECT_EQ(request.sampler.top_k, 7);
  EXPECT_EQ(request.sampler.min_p, 0.1);
  EXPECT_EQ(request.sampler.repetition_penalty, 1.2);
  EXPECT_EQ(request.sampler.seed, 11U);
  EXPECT_TRUE(request.seed_given && request.stream && request.stream_usage && request.echo);
  EXPECT_THAT(request.stop_texts, ElementsAre("a", "b"));
  EXPECT_EQ(request.top_logprobs, 2);
  EXPECT_EQ(request.model, "m");
}

TEST(ApiRequest, PromptsComeAsTextsOrTokensOneOrMany) {
  EXPECT_EQ(completion(R"({"prompt": ["a", "b"]})").prompts.size(), 2U);
  EXPECT_EQ(completion(R"({"prompt": [[1], [2, 3], [4]]})").prompts.size(), 3U);
  EXPECT_EQ(completion(R"({"prompt": []})").prompts.size(), 1U);  // no tokens: refused later
  EXPECT_THAT(refused(R"({"prompt": [[1], ["a"]]})"), HasSubstr("400 prompt"));
  EXPECT_THAT(refused(R"({"prompt": [1, -1]})"), HasSubstr("and is -1"));
  EXPECT_THAT(refused(R"({"prompt": [1, 1.5]})"), HasSubstr("and is 1.5"));
  EXPECT_THAT(refused(R"({"prompt": [18446744073709551615]})"), HasSubstr("400 prompt"));
  EXPECT_THAT(refused(R"({"prompt": {"a": 1}})"), HasSubstr("400 prompt"));
  EXPECT_THAT(refused(R"({"max_tokens": 1})"), HasSubstr("\"prompt\" is missing"));
  std::string many = R"({"prompt": ["a")";
  for (int i = 1; i < 257; ++i) many += R"(, "a")";
  EXPECT_THAT(refused(many + "]}"), HasSubstr("has 257 texts"));
}

TEST(ApiRequest, AKeyThatIsNotUnderstoodIsNamedWithTheNearestOne) {
  const std::string words = refused(R"({"prompt": "a", "temprature": 1, "grammar": "x"})");
  EXPECT_THAT(words, HasSubstr("\"temprature\" (did you mean temperature?)"));
  EXPECT_THAT(words, HasSubstr("\"grammar\""));
  EXPECT_THAT(words, HasSubstr("400"));
  EXPECT_THAT(refused(R"({"prompt": "a", "messages": []})"), HasSubstr("messages"));
  EXPECT_THAT(refused_chat(R"({"messages": [{"role": "user", "content": "a"}], "prompt": "a"})"),
              HasSubstr("prompt"));
}

TEST(ApiRequest, WhatIsWrongInAnInnerObjectIsNamedWithIt) {
  const auto words = [](const std::string& options) {
    return refused(R"({"prompt": "a", "stream": true, "stream_options": )" + options + "}");
  };
  EXPECT_EQ(words(R"({"include_usage": true, "include_obfuscation": false})"), "");
  EXPECT_THAT(words("1"), HasSubstr("\"stream_options\" must be an object, and is 1"));
  EXPECT_THAT(words(R"({"include_usage": 1})"),
              HasSubstr("\"stream_options.include_usage\" must be true or false"));
  EXPECT_THAT(words(R"({"include_obfuscation": true})"),
              HasSubstr("\"stream_options.include_obfuscation\" = true is not done"));
  EXPECT_THAT(
      words(R"({"include_usge": true})"),
      HasSubstr("400 stream_options.include_usge: \"stream_options\" has what this server"));
}

TEST(ApiRequest, KeysThatAskForNothingAreAcceptedAndOthersRefused) {
  EXPECT_EQ(refused(R"({"prompt": "a", "n": 1, "best_of": 1, "presence_penalty": 0.0,
                        "frequency_penalty": 0, "logit_bias": {}, "user": "u", "suffix": null})"),
            "");
  for (const char* key :
       {"\"n\": 2", "\"best_of\": 3", "\"presence_penalty\": 0.5", "\"logit_bias\": {\"5\": 1}",
        "\"suffix\": \"end\"", "\"stream_options\": {\"include_usage\": true}"}) {
    EXPECT_THAT(refused(std::string(R"({"prompt": "a", )") + key + "}"), HasSubstr("400")) << key;
  }
  const std::string hello = R"({"messages": [{"role": "user", "content": "hello"}])";
  EXPECT_EQ(refused_chat(hello + R"(, "tools": [], "response_format": {"type": "text"}})"), "");
  EXPECT_THAT(refused_chat(hello + R"(, "tools": [{"type": "function"}]})"), HasSubstr("tools"));
  EXPECT_THAT(refused_chat(hello + R"(, "response_format": {"type": "json_object"}})"),
              HasSubstr("response_format"));
}

TEST(ApiRequest, NumbersOutOfRangeAreRefusedWithTheRange) {
  EXPECT_THAT(refused(R"({"prompt": "a", "temperature": -1})"), HasSubstr("from 0 to 1000"));
  EXPECT_THAT(refused(R"({"prompt": "a", "top_p": 0})"), HasSubstr("top_p"));
  EXPECT_THAT(refused(R"({"prompt": "a", "max_tokens": 0})"), HasSubstr("from 1 to"));
  EXPECT_EQ(refused(R"({"prompt": "a", "max_tokens": 0, "echo": true})"), "");
  EXPECT_THAT(refused(R"({"prompt": "a", "max_tokens": 1e30})"), HasSubstr("max_tokens"));
  EXPECT_THAT(refused(R"({"prompt": "a", "max_tokens": true})"), HasSubstr("and is true"));
  EXPECT_THAT(refused(R"({"prompt": "a", "temperature": 1e999})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(refused(R"({"prompt": "a", "logprobs": 21})"), HasSubstr("from 0 to 20"));
  // As int64 these would be -1 and the smallest seed.
  EXPECT_THAT(refused(R"({"prompt": "a", "top_k": 18446744073709551615})"), HasSubstr("top_k"));
  EXPECT_THAT(refused(R"({"prompt": "a", "seed": 9223372036854775808})"), HasSubstr("seed"));
  EXPECT_THAT(refused(R"({"prompt": "a", "stop": ""})"), HasSubstr("stop"));
  EXPECT_THAT(refused(R"({"prompt": "a", "stop": [1]})"), HasSubstr("stop"));
  const std::string longer(2000, 'x');
  EXPECT_THAT(refused(R"({"prompt": "a", "stop": ")" + longer + "\"}"), HasSubstr("1024"));
}

TEST(ApiRequest, WhatIsNoJsonObjectIsRefused) {
  for (const std::string body : {"", "{", "[]", "1", "\"a\"", "{\"prompt\": \"\xff\"}",
                                 R"({"prompt": "a", "prompt": "b"})", "{\"prompt\": \"a\"}\n{}"}) {
    EXPECT_THAT(refused(body), HasSubstr("400 ")) << body;
  }
  EXPECT_THAT(refused(std::string("{}\0", 3)), HasSubstr("zero"));
  std::string deep = R"({"prompt": )";
  for (int i = 0; i < 100000; ++i) deep += '[';
  EXPECT_THAT(refused(deep), HasSubstr("nested deeper"));
}

TEST(ApiRequest, AChatHasMessagesOfTextsAlone) {
  const TextRequest request = chat(
      R"({"messages": [{"role": "system", "content": "s"},
                       {"role": "user", "content": "u", "name": "n"}],
          "max_completion_tokens": 4, "logprobs": true, "top_logprobs": 2})");
  ASSERT_EQ(request.messages.size(), 2U);
  EXPECT_EQ(request.messages[1].content, "u");
  EXPECT_EQ(request.max_tokens, 4);
  EXPECT_EQ(request.top_logprobs, 2);
  EXPECT_THAT(refused_chat(R"({"messages": []})"), HasSubstr("400 messages"));
  EXPECT_THAT(refused_chat(R"({"messages": ["a"]})"), HasSubstr("400 messages"));
  EXPECT_THAT(refused_chat(R"({"messages": [{"role": "user",
                               "content": [{"type": "image_url"}]}]})"),
              HasSubstr("400 messages"));
  EXPECT_THAT(refused_chat(R"({"messages": [{"role": "tool", "content": "4",
                               "tool_call_id": "x"}]})"),
              HasSubstr("role and content"));
  const std::string hello = R"({"messages": [{"role": "user", "content": "a"}])";
  EXPECT_THAT(refused_chat(hello + R"(, "top_logprobs": 2})"), HasSubstr("has no effect"));
  EXPECT_THAT(refused_chat(hello + R"(, "max_tokens": 2, "max_completion_tokens": 3})"),
              HasSubstr("give one of them"));
}

TEST(ApiRequest, TokenizeAndDetokenizeTakeWhatVllmTakes) {
  const TokenizeRequest request = read_tokenize(R"({"prompt": "a", "add_special_tokens": false})");
  EXPECT_EQ(request.prompt, "a");
  EXPECT_FALSE(request.add_special);
  EXPECT_TRUE(read_tokenize(R"({"prompt": "a"})").add_special);
  EXPECT_THAT(read_detokenize(R"({"tokens": [1, 2]})").tokens, ElementsAre(1, 2));
  EXPECT_THAT(refusal_of(read_detokenize, R"({"tokens": [1, "2"]})"), HasSubstr("and is \"2\""));
  EXPECT_THAT(refusal_of(read_tokenize, R"({"content": "a"})"), HasSubstr("\"prompt\" is missing"));
}

}  // namespace
}  // namespace bitmill

// What clients get to read, over real sockets, from a small model.

#include "serve/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "infer/generate.hpp"
#include "serve/served_house.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using test::get;
using test::post;
using test::RawReply;
using test::ServedHouse;
using testing::HasSubstr;

class ServiceTest : public testing::Test {
 protected:
  json complete(const std::string& body) {
    const RawReply reply = post(house_.port(), "/v1/completions", body);
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.json();
  }
  void expect_refusal(const std::string& path, const std::string& body, int status,
                      const std::string& words) {
    const RawReply reply = post(house_.port(), path, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    EXPECT_THAT(reply.json().at("error").at("message").get<std::string>(), HasSubstr(words));
    EXPECT_TRUE(reply.json().at("error").contains("type"));
  }

  ServedHouse house_;
};

TEST_F(ServiceTest, ACompletionIsTheTextOfGenerateWithItsUsage) {
  const json answer =
      complete(R"({"model": "books", "prompt": "It was a", "max_tokens": 12, "temperature": 0})");
  EXPECT_THAT(answer.at("choices")[0].at("text").get<std::string>(),
              testing::StartsWith(" very good-natured, and I was"));
  EXPECT_EQ(answer.at("object"), "text_completion");
  EXPECT_EQ(answer.at("choices")[0].at("finish_reason"), "length");
  EXPECT_TRUE(answer.at("choices")[0].at("logprobs").is_null());
  EXPECT_EQ(answer.at("usage").at("completion_tokens"), 12);
  const auto prompt = house_.models().tokenizer->encode("It was a", true);
  EXPECT_EQ(answer.at("usage").at("prompt_tokens"), std::ssize(prompt));
  EXPECT_EQ(answer.at("usage").at("total_tokens"), std::ssize(prompt) + 12);
}

TEST_F(ServiceTest, AStopTextEndsTheTextBeforeIt) {
  const json answer =
      complete(R"({"prompt": "It was a", "max_tokens": 12, "temperature": 0, "stop": "-natured"})");
  EXPECT_EQ(answer.at("choices")[0].at("text"), " very good");
  EXPECT_EQ(answer.at("choices")[0].at("finish_reason"), "stop");
}

// What lm-evaluation-harness sends, and what it reads.
TEST_F(ServiceTest, EchoWithLogprobsScoresPromptsOfTokens) {
  const auto prompt = house_.models().tokenizer->encode("It was a fine day", true);
  const std::vector<int32_t> other = {5, 300, 17};
  const json body = {{"model", "books"}, {"prompt", {prompt, other}},
                     {"temperature", 0}, {"max_tokens", 1},
                     {"logprobs", 1},    {"seed", 1234},
                     {"echo", true}};
  const json answer = complete(body.dump());
  ASSERT_EQ(answer.at("choices").size(), 2U);
  const json& choice = answer.at("choices")[0];
  EXPECT_EQ(choice.at("index"), 0);
  EXPECT_THAT(choice.at("text").get<std::string>(), testing::StartsWith("It was a fine day"));
  const json& scores = choice.at("logprobs");
  ASSERT_EQ(scores.at("token_logprobs").size(), prompt.size() + 1);
  ASSERT_EQ(scores.at("top_logprobs").size(), prompt.size() + 1);
  ASSERT_EQ(scores.at("tokens").size(), prompt.size() + 1);
  EXPECT_TRUE(scores.at("token_logprobs")[0].is_null());
  EXPECT_TRUE(scores.at("top_logprobs")[0].is_null());
  const at::Tensor expected =
      test::cut_logits(house_.model(), prompt, {}, const_cast<ThreadPool&>(house_.models().pool))
          .to(at::kDouble)
          .log_softmax(1);
  for (size_t i = 1; i < prompt.size(); ++i) {
    const double score = scores.at("token_logprobs")[i];
    EXPECT_NEAR(score, expected[i - 1][prompt[i]].item<double>(), 1e-12);
    const json& top = scores.at("top_logprobs")[i];
    EXPECT_LE(top.size(), 2U);
    // The chosen token has the same float in both lists, and is the largest exactly if it is most
    // likely.
    double largest = -1e9;
    bool there = false;
    for (const auto& [token, value] : top.items()) {
      largest = std::max(largest, value.get<double>());
      there = there || value.get<double>() == score;
    }
    EXPECT_TRUE(there);
    const bool greedy = expected[i - 1].argmax().item<int64_t>() == prompt[i];
    EXPECT_EQ(score == largest, greedy);
  }
}

TEST_F(ServiceTest, AStreamHasTheSameTextInPartsAndThenItsUsage) {
  const std::string body =
      R"({"prompt": "It was a", "max_tokens": 30, "temperature": 1, "seed": 5, "logprobs": 0)";
  const json whole = complete(body + "}");
  const RawReply reply = post(house_.port(), "/v1/completions", body + R"(, "stream": true,
                                         "stream_options": {"include_usage": true}})");
  EXPECT_THAT(reply.head, HasSubstr("text/event-stream"));
  const auto events = test::events_of(reply);
  ASSERT_GT(events.size(), 4U);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string text;
  std::vector<double> scores;
  json reason;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const json part = json::parse(events[i]);
    EXPECT_TRUE(part.at("usage").is_null());
    EXPECT_EQ(part.at("id"), json::parse(events[0]).at("id"));
    const json& choice = part.at("choices")[0];
    text += choice.at("text").get<std::string>();
    reason = choice.at("finish_reason");
    if (choice.at("logprobs").is_null()) continue;
    for (const auto& score : choice.at("logprobs").at("token_logprobs")) scores.push_back(score);
  }
  EXPECT_EQ(text, whole.at("choices")[0].at("text"));
  EXPECT_EQ(reason, "length");
  EXPECT_EQ(json(scores), whole.at("choices")[0].at("logprobs").at("token_logprobs"));
  const json last = json::parse(events[events.size() - 2]);
  EXPECT_TRUE(last.at("choices").empty());
  EXPECT_EQ(last.at("usage"), whole.at("usage"));
}

TEST_F(ServiceTest, ASeedThatTheServerDrewGivesTheTextAgain) {
  const std::string body = R"({"prompt": "It was a", "max_tokens": 20)";
  const json drawn = complete(body + "}");
  const json again = complete(body + ", \"seed\": " + drawn.at("seed").dump() + "}");
  EXPECT_EQ(again.at("choices"), drawn.at("choices"));
  EXPECT_NE(complete(body + "}").at("seed"), drawn.at("seed"));
  const json negative = complete(body + ", \"seed\": -5}");
  EXPECT_EQ(negative.at("seed"), -5);
}

TEST_F(ServiceTest, TextsOfEqualPromptsDiffer) {
  const auto texts = [&](const std::string& prompt, int seed) {
    return complete(R"({"max_tokens": 20, "seed": )" + std::to_string(seed) + R"(, "prompt": )" +
                    prompt + "}")
        .at("choices");
  };
  const json both = texts(R"(["It was a", "It was a"])", 7);
  EXPECT_NE(both[0].at("text"), both[1].at("text"));
  EXPECT_EQ(both[0].at("text"), texts(R"("It was a")", 7)[0].at("text"));
  EXPECT_EQ(both[1].at("text"), texts(R"("It was a")", 8)[0].at("text"));
}

// Every request gets, in a crowd, what it gets alone.
TEST_F(ServiceTest, TextsDoNotDependOnWhoElseAsks) {
  // There are two places and a queue of four; a text that was answered has its place until its step
  // ends.
  constexpr int clients = 5;
  const auto body = [](int i) {
    return R"({"prompt": "The )" + std::string(i, 'a') + R"(", "max_tokens": )" +
           std::to_string(10 + 7 * i) + R"(, "seed": )" + std::to_string(i) +
           R"(, "logprobs": 3, "echo": true})";
  };
  std::vector<json> alone;
  for (int i = 0; i < clients; ++i) alone.push_back(complete(body(i)).at("choices"));
  std::vector<std::future<RawReply>> crowd;
  for (int i = 0; i < clients; ++i) {
    crowd.push_back(std::async(std::launch::async,
                               [&, i] { return post(house_.port(), "/v1/completions", body(i)); }));
  }
  for (int i = 0; i < clients; ++i) {
    const RawReply reply = crowd[i].get();
    ASSERT_EQ(reply.status, 200) << reply.body;
    EXPECT_EQ(reply.json().at("choices"), alone[i]);
  }
}

TEST_F(ServiceTest, WhatDoesNotFitIsRefusedWithFigures) {
  const std::string path = "/v1/completions";
  expect_refusal(path, R"({"prompt": "a", "max_tokens": 600})", 400, "has room for 512 in all");
  expect_refusal(path, R"({"prompt": [5, 2048]})", 400, "vocabulary of \"books\" is [0, 2048)");
  expect_refusal(path, R"({"prompt": []})", 400, "no tokens");
  const json many = {
      {"prompt", std::vector<std::string>(256, "a")}, {"max_tokens", 500}, {"logprobs", 20}};
  expect_refusal(path, many.dump(), 400, "send fewer texts at once");
  expect_refusal(path, R"({"prompt": "a", "model": "gpt"})", 404, "no \"gpt\"");
  expect_refusal(path, R"({"prompt": "a", "grammar": "x"})", 400, "grammar");
  expect_refusal("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "a"}]})", 400,
                 "cannot chat");
  expect_refusal("/tokenize", R"({"prompt": 1})", 400, "must be a text");
  expect_refusal("/detokenize", R"({"tokens": [99999]})", 400, "99999");
}

TEST_F(ServiceTest, TokenizerEndpointsAreThoseThatTheHarnessAsks) {
  const json info = get(house_.port(), "/tokenizer_info").json();
  EXPECT_TRUE(info.at("eos_token").is_string());
  const json tokens =
      post(house_.port(), "/tokenize", R"({"prompt": "It was", "add_special_tokens": false})")
          .json();
  EXPECT_EQ(tokens.at("tokens").get<std::vector<int32_t>>(),
            house_.models().tokenizer->encode("It was", false));
  const json text =
      post(house_.port(), "/detokenize", json{{"tokens", tokens.at("tokens")}}.dump()).json();
  EXPECT_EQ(text.at("prompt"), "It was");
  EXPECT_EQ(get(house_.port(), "/v1/models").json().at("data")[0].at("id"), "books");
  EXPECT_EQ(get(house_.port(), "/health").status, 200);
  house_.service().begin_to_stop();
  EXPECT_EQ(get(house_.port(), "/health").status, 503);
}

// ChatML, as the documentation of transformers explains templates.
constexpr const char* served_chatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

TEST(ServiceChat, AnAnswerIsWhatFollowsTheRenderedMessages) {
  const TempFolder folder;
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    folder.write(name, read_text(*posix_files(), join_path(test::SmallModels::folder, name)));
  }
  folder.write("chat_template.jinja", served_chatml);
  ServedHouse house(folder.path());
  const json messages = {{{"role", "system"}, {"content", "Be brief."}},
                         {{"role", "user"}, {"content", "Who is it?"}}};
  json body = {{"messages", messages},
               {"max_tokens", 12},
               {"seed", 3},
               {"logprobs", true},
               {"top_logprobs", 2}};
  const RawReply reply = post(house.port(), "/v1/chat/completions", body.dump());
  ASSERT_EQ(reply.status, 200) << reply.body;
  const json answer = reply.json();
  const auto prompt = house.models().tokenizer->encode(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWho is it?<|im_end|>\n"
      "<|im_start|>assistant\n",
      false);
  const json same = {{"prompt", prompt}, {"max_tokens", 12}, {"seed", 3}, {"logprobs", 2}};
  const json text = post(house.port(), "/v1/completions", same.dump()).json();
  const json& choice = answer.at("choices")[0];
  EXPECT_EQ(choice.at("message").at("role"), "assistant");
  EXPECT_EQ(choice.at("message").at("content"), text.at("choices")[0].at("text"));
  EXPECT_EQ(answer.at("usage"), text.at("usage"));
  EXPECT_EQ(answer.at("object"), "chat.completion");
  const json& scores = choice.at("logprobs").at("content");
  const json& expected = text.at("choices")[0].at("logprobs").at("token_logprobs");
  ASSERT_EQ(scores.size(), expected.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i].at("logprob"), expected[i]);
    EXPECT_EQ(scores[i].at("top_logprobs").size(), 2U);
  }
  // In parts: first the role, then the text, then why it ended.
  body["stream"] = true;
  const auto events = test::events_of(post(house.port(), "/v1/chat/completions", body.dump()));
  EXPECT_EQ(json::parse(events.at(0)).at("choices")[0].at("delta").at("role"), "assistant");
  std::string parts;
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    parts += json::parse(event).at("choices")[0].at("delta").value("content", "");
  }
  EXPECT_EQ(parts, choice.at("message").at("content"));
}

// Waits until `done` is true; false after ten seconds.
bool soon(const std::function<bool()>& done) {
  for (int i = 0; i < 1000 && !done(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return done();
}

TEST_F(ServiceTest, AClientThatHangsUpFreesItsPlaceAndItsPlaceInTheQueue) {
  const std::string body = R"({"prompt": "It was a", "max_tokens": 500, "temperature": 1)";
  for (const std::string stream : {", \"stream\": true}", "}"}) {
    const auto before = house_.scheduler().figures();
    std::vector<std::unique_ptr<test::RawClient>> clients;
    for (int i = 0; i < 4; ++i) {
      clients.push_back(std::make_unique<test::RawClient>(house_.port()));
      clients.back()->send(test::post_text("/v1/completions", body + stream));
    }
    ASSERT_TRUE(soon([&] { return house_.scheduler().figures().requests == before.requests + 4; }));
    for (auto& client : clients) client->hang_up();
    EXPECT_TRUE(soon([&] { return house_.scheduler().is_idle(); }));
    const auto after = house_.scheduler().figures();
    // Not even the two that had a place came to their end.
    EXPECT_LT(after.new_tokens - before.new_tokens, 2U * 500);
  }
}

TEST_F(ServiceTest, WhenTooManyWaitTheClientIsToldToComeBack) {
  std::vector<std::unique_ptr<test::RawClient>> clients;
  const std::string body =
      test::post_text("/v1/completions", R"({"prompt": "It", "max_tokens": 500, "stream": true})");
  RawReply refused;
  for (int i = 0; i < 40 && refused.status != 503; ++i) {
    clients.push_back(std::make_unique<test::RawClient>(house_.port()));
    clients.back()->send(body);
    // Those that wait have the head of their stream at once.
    refused = test::parsed_reply(clients.back()->receive("\r\n\r\n"));
  }
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.head, HasSubstr("Retry-After: 1"));
  EXPECT_EQ(get(house_.port(), "/health").status, 200);  // and the server goes on
}

}  // namespace
}  // namespace bitmill

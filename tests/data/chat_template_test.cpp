#include "data/chat_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Made by tests/golden/chat/make_chat.py with transformers and the models' own templates.
const json& chat_golden() {
  static const json golden =
      json::parse(read_text(*posix_files(), BITMILL_SOURCE_DIR "/tests/golden/chat/chats.json"));
  return golden;
}

// As transformers has it: null where the template raises an exception.
json rendered_chat(const ChatFormat& format, const json& messages, const ChatTokens& tokens,
                   bool asks) {
  const ChatTemplate chat(format, tokens, "here");
  try {
    return chat.render(read_chat_messages(messages, "here"), {.asks_for_answer = asks});
  } catch (const FormatError&) {
    return nullptr;
  }
}

TEST(ChatTemplate, EveryKnownFormatRendersAsTransformersDoes) {
  int texts = 0, refused = 0;
  for (const auto& [name, known] : chat_golden().at("formats").items()) {
    const ChatFormat* format = chat_format_named(name);
    ASSERT_NE(format, nullptr) << name;
    const ChatTokens tokens{known.at("bos"), known.at("eos")};
    for (size_t i = 0; i < chat_golden().at("chats").size(); ++i) {
      const json& messages = chat_golden().at("chats")[i];
      EXPECT_EQ(rendered_chat(*format, messages, tokens, false), known.at("texts")[i])
          << name << ": " << messages;
      EXPECT_EQ(rendered_chat(*format, messages, tokens, true), known.at("asking_texts")[i])
          << name << ", asking: " << messages;
      ++(known.at("texts")[i].is_null() ? refused : texts);
    }
  }
  EXPECT_GT(texts, 200);
  EXPECT_GT(refused, 20);
}

// The texts of the templates are their publishers' and are not carried: their hashes are.
TEST(ChatTemplate, TheTableHasTheHashesOfTheTemplatesThatTheGoldenTextsWereMadeWith) {
  for (const auto& [name, known] : chat_golden().at("formats").items()) {
    for (const auto& hash : known.at("hashes")) {
      EXPECT_EQ(chat_format_by_hash(hash.get<std::string>()), chat_format_named(name)) << name;
    }
  }
}

// ChatML, as the documentation of transformers explains templates.
const std::string chatml_text =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

TEST(ChatTemplate, LineEndsInsideOfStringsMayBeWrittenInBothWays) {
  std::string escaped;
  for (const char c : chatml_text) escaped += c == '\n' ? "\\n" : std::string(1, c);
  ASSERT_NE(escaped, chatml_text);
  EXPECT_EQ(find_chat_format(escaped), find_chat_format(chatml_text));
  EXPECT_NE(find_chat_format(escaped), nullptr);
  EXPECT_EQ(chat_format_by_hash(""), nullptr) << "a place without a hash is no text";
}

MemoryFiles chat_folder(const json& config) {
  MemoryFiles files;
  files.put("m/tokenizer_config.json", config.dump());
  return files;
}

std::string chat_refusal(MemoryFiles files) {
  try {
    read_chat_template(files, "m");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ChatTemplate, IsFoundInEveryPlaceWhereTransformersLooks) {
  const std::vector<ChatMessage> messages = {{"user", "Hi"}};
  const std::string expected = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n";
  const json other = {{"name", "tool_use"}, {"template", "T"}};
  for (const json& value : {json(chatml_text), json(chatml_text + "\r\n"),
                            json{other, {{"name", "default"}, {"template", chatml_text}}}}) {
    MemoryFiles files = chat_folder({{"chat_template", value}});
    EXPECT_EQ(read_chat_template(files, "m").render(messages, {.asks_for_answer = true}), expected);
  }
  MemoryFiles files = chat_folder({{"chat_template", "another"}});
  files.put("m/chat_template.jinja", chatml_text);
  EXPECT_EQ(read_chat_template(files, "m").name(), "ChatML") << "the file of its own wins";
}

// Jinja drops one line end at the end, and writes all other blanks into every chat.
TEST(ChatTemplate, BlanksThatAreRenderedMakeItAnotherTemplate) {
  EXPECT_EQ(find_chat_format(chatml_text + "\n"), find_chat_format(chatml_text));
  for (const std::string& text : {"\n" + chatml_text, " " + chatml_text, chatml_text + " ",
                                  chatml_text + "\n\n", chatml_text + "\t\n"}) {
    EXPECT_EQ(find_chat_format(text), nullptr) << json(text);
  }
}

TEST(ChatTemplate, OneThatIsNotKnownIsRefusedWithAWayOut) {
  const std::string words = chat_refusal(chat_folder({{"chat_template", chatml_text + "!"}}));
  for (const char* part :
       {"m/tokenizer_config.json: chat_template", "LLaMA-2", "Qwen3", "SmolLM2", "--prompt"}) {
    EXPECT_THAT(words, HasSubstr(part));
  }
}

TEST(ChatTemplate, AFolderWithoutOneIsRefusedWithAWayOut) {
  EXPECT_THAT(chat_refusal(chat_folder(json::object())), HasSubstr("has no chat template"));
  EXPECT_THAT(chat_refusal(chat_folder({{"chat_template", nullptr}})), HasSubstr("--prompt"));
  EXPECT_THAT(chat_refusal(MemoryFiles()), HasSubstr("has no chat template"));
  EXPECT_THAT(chat_refusal(chat_folder({{"chat_template", 5}})), HasSubstr("must be a text"));
  EXPECT_THAT(chat_refusal(chat_folder({{"chat_template", json::array()}})),
              HasSubstr("named \"default\""));
}

TEST(ChatTemplate, SpecialTokensAreThoseOfTheFolder) {
  const ChatTemplate chat(*chat_format_named("LLaMA-3"), {"<B>", "<E>"}, "here");
  EXPECT_TRUE(chat.render(std::vector<ChatMessage>{{"user", "x"}}, {}).starts_with("<B><|start_"));
}

TEST(ChatTemplate, WhatTheTemplateRefusesIsSaidWithThePlaceOfTheMessage) {
  const ChatTemplate chat(*chat_format_named("Mistral v0.1"), {"<s>", "</s>"}, "m/config");
  try {
    chat.render(std::vector<ChatMessage>{{"user", "a"}, {"user", "b"}}, {});
    FAIL();
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("m/config (Mistral v0.1)"));
    EXPECT_THAT(error.what(), HasSubstr("message 2 of these is of the role \"user\""));
  }
}

TEST(ChatTemplate, MessagesWithPartsThatWouldBeLostAreRefused) {
  const auto refusal = [](const json& messages) -> std::string {
    try {
      read_chat_messages(messages, "chat.jsonl, line 3");
    } catch (const FormatError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal({{{"role", "user"}, {"content", "x"}, {"weight", 1}}}), "accepted");
  EXPECT_THAT(refusal(json::array()), HasSubstr("at least one message"));
  EXPECT_THAT(refusal({{{"role", "user"}}}), HasSubstr("content"));
  EXPECT_THAT(refusal({{{"role", "user"}, {"content", json::array()}}}),
              HasSubstr("chat.jsonl, line 3, message 1"));
  EXPECT_THAT(refusal({{{"role", "assistant"}, {"content", "x"}, {"tool_calls", json::array()}}}),
              HasSubstr("tool_calls"));
}

}  // namespace
}  // namespace bitmill

// Chats as a corpus: "messages" in JSON lines.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "data/corpus_text.hpp"
#include "data/token_text.hpp"
#include "data/tokenizer.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// ChatML, as the documentation of transformers explains templates.
constexpr const char* chatml =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' "
    "}}{% endif %}";

constexpr const char* first_chat =
    R"({"id": 1, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})";
constexpr const char* second_chat = R"({"messages": [{"role": "user", "content": "Why?"}]})";
constexpr const char* both_rendered =
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo<|im_end|>\n"
    "<|im_start|>user\nWhy?<|im_end|>\n";

// A model folder "m", whose tokenizer puts a BOS before a text, and a corpus of these lines.
MemoryFiles corpus_of(const std::vector<std::string>& lines) {
  MemoryFiles files;
  files.put("m/tokenizer.json", read_text(*posix_files(), BITMILL_SOURCE_DIR
                                          "/tests/golden/tokenizers/spm/tokenizer.json"));
  files.put("m/chat_template.jinja", chatml);
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  files.put("chats.jsonl", text);
  return files;
}

std::string corpus_refusal(MemoryFiles files, const std::string& key = "") {
  try {
    read_corpus_text(files, "chats.jsonl", key, "m");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(ChatCorpus, ChatsAreRenderedWithTheTemplateOfTheModelAndFollowEachOther) {
  MemoryFiles files = corpus_of({first_chat, "", second_chat});
  const CorpusText corpus = read_corpus_text(files, "chats.jsonl", "", "m");
  EXPECT_EQ(corpus.text, both_rendered);
  EXPECT_TRUE(corpus.is_chat);
}

TEST(ChatCorpus, OnlyTheTemplateWritesSpecialTokens) {
  MemoryFiles files = corpus_of({first_chat, second_chat});
  const auto tokenizer = open_tokenizer(files, "m");
  const Tokens tokens = read_tokens(files, "chats.jsonl", "m", 1000);
  EXPECT_EQ(tokens.ids, tokenizer->encode(both_rendered, false));
  EXPECT_NE(tokens.ids, tokenizer->encode(both_rendered, true)) << "the tokenizer must have a BOS";
}

TEST(ChatCorpus, AKeyThatIsNamedMayHoldMessages) {
  MemoryFiles files = corpus_of({R"({"text": "x", "turns": [{"role": "user", "content": "Hi"}]})"});
  EXPECT_EQ(read_corpus_text(files, "chats.jsonl", "turns", "m").text,
            "<|im_start|>user\nHi<|im_end|>\n");
  EXPECT_EQ(read_corpus_text(files, "chats.jsonl", "", "m").text, "x") << "a text comes first";
}

TEST(ChatCorpus, TextsAndChatsInOneFileAreRefused) {
  EXPECT_THAT(corpus_refusal(corpus_of({first_chat, R"({"text": "x"})"})),
              HasSubstr("chats.jsonl, line 2: a text, and the lines before have chats"));
  EXPECT_THAT(
      corpus_refusal(corpus_of({R"({"text": "x"})", second_chat})),
      HasSubstr("chats.jsonl, line 2: messages of a chat, and the lines before have texts"));
}

TEST(ChatCorpus, WhatCannotBeRenderedIsRefusedWithItsLine) {
  EXPECT_THAT(corpus_refusal(corpus_of({first_chat, R"({"messages": []})"})),
              HasSubstr("chats.jsonl, line 2: messages must be a list with at least one"));
  EXPECT_THAT(corpus_refusal(corpus_of({R"({"messages": [{"role": "user"}]})"})),
              HasSubstr("chats.jsonl, line 1, message 1"));
  EXPECT_THAT(corpus_refusal(corpus_of({R"({"messages": 3, "id": 3})"}), "messages"),
              AllOf(HasSubstr("line 1"), HasSubstr("neither a string nor a list of messages")));
  EXPECT_THAT(corpus_refusal(corpus_of({R"({"messages": "Hi"})"})),
              AllOf(HasSubstr("there is no \"text\""), HasSubstr("--text-key messages")));
}

TEST(ChatCorpus, AModelWithoutAKnownTemplateIsRefusedWithAWayOut) {
  MemoryFiles files = corpus_of({first_chat});
  files.put("m/chat_template.jinja", "another");
  EXPECT_THAT(corpus_refusal(files),
              AllOf(HasSubstr("m/chat_template.jinja"), HasSubstr("a corpus: \"text\"")));
}

}  // namespace
}  // namespace bitmill

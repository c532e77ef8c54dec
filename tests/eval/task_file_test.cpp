#include "eval/task_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "memory_files.hpp"

namespace bitmill {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string choices_line =
    R"({"query": "The sky is\n", "choices": ["blue", "grün"], "gold": 1})";

Task read_lines(const std::string& content, const TaskReading& reading = {}) {
  MemoryFiles files;
  files.put("/tasks/colours.v2.jsonl", content);
  return read_task(files, "/tasks/colours.v2.jsonl", reading);
}

std::string task_refusal(const std::string& content) {
  try {
    read_lines(content);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "not refused";
}

TEST(TaskFile, ChoicesFollowTheQueryAfterOneSpace) {
  const Task task = read_lines(choices_line + "\n");
  EXPECT_EQ(task.name, "colours.v2");
  EXPECT_EQ(task.kind, TaskKind::choices);
  ASSERT_EQ(task.items.size(), 1u);
  const TaskItem& item = task.items.front();
  EXPECT_EQ(item.gold, 1);
  ASSERT_EQ(item.pairs.size(), 2u);
  EXPECT_EQ(item.pairs[0].context, "The sky is\n");
  EXPECT_EQ(item.pairs[0].continuation, " blue");
  EXPECT_EQ(item.pairs[1].continuation, " grün");
  EXPECT_THAT(item.lengths, ElementsAre(4, 4)) << "characters, not bytes, without the space";
}

TEST(TaskFile, ACueStandsInPlaceOfTheWhiteSpaceAtTheQuerysEnd) {
  const Task task = read_lines(choices_line, {.cue = "\nAnswer:", .max_items = 0});
  EXPECT_EQ(task.items.front().pairs[0].context, "The sky is\nAnswer:");
}

TEST(TaskFile, ContextsShareTheirContinuation) {
  const Task task =
      read_lines(R"({"context_options": ["a", "b"], "continuation": "is right.", "gold": 0})");
  EXPECT_EQ(task.kind, TaskKind::contexts);
  const TaskItem& item = task.items.front();
  EXPECT_EQ(item.pairs[1].context, "b");
  EXPECT_EQ(item.pairs[0].continuation, " is right.");
  EXPECT_EQ(item.pairs[1].continuation, " is right.");
}

TEST(TaskFile, AContinuationHasOnePair) {
  const Task task = read_lines(R"({"context": "Once upon a", "continuation": "time"})");
  EXPECT_EQ(task.kind, TaskKind::continuation);
  ASSERT_EQ(task.items.front().pairs.size(), 1u);
  EXPECT_EQ(task.items.front().pairs[0].continuation, " time");
}

TEST(TaskFile, BlankLinesAreSkippedButCounted) {
  const Task task = read_lines("\n" + choices_line + "\r\n \n" + choices_line);
  ASSERT_EQ(task.items.size(), 2u);
  EXPECT_EQ(task.items[0].line, 2);
  EXPECT_EQ(task.items[1].line, 4);
}

TEST(TaskFile, OnlyTheFirstItemsAreReadWhereSoAsked) {
  const Task task =
      read_lines(choices_line + "\n" + choices_line + "\nrubbish", {.cue = "", .max_items = 2});
  EXPECT_EQ(task.items.size(), 2u);
}

TEST(TaskFile, AnEmptyFileIsRefused) {
  EXPECT_THAT(task_refusal(""), AllOf(HasSubstr("colours.v2.jsonl"), HasSubstr("no item")));
  EXPECT_THAT(task_refusal("\n \n"), HasSubstr("no item"));
}

TEST(TaskFile, ALineThatIsNoItemIsRefusedWithFileAndLine) {
  const auto second = [](const std::string& line) {
    return task_refusal(choices_line + "\n" + line + "\n");
  };
  const auto where = HasSubstr("/tasks/colours.v2.jsonl, line 2");
  EXPECT_THAT(second("{"), where);
  EXPECT_THAT(second("[1]"), AllOf(where, HasSubstr("expected an object, found array")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", "b"]})"),
              AllOf(where, HasSubstr(R"("choices", "query")"), HasSubstr(R"("gold")")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", "b"], "gold": 0, "answer": 1})"),
              AllOf(where, HasSubstr(R"("answer", "choices", "gold", "query")")));
  EXPECT_THAT(second(R"({"context": "a", "continuation": "b"})"),
              AllOf(where, HasSubstr("another kind than line 1")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", "b"], "gold": 2})"),
              AllOf(where, HasSubstr("\"gold\" is 2"), HasSubstr("from 0 to 1")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", "b"], "gold": -1})"),
              HasSubstr("\"gold\" is -1"));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", "b"], "gold": "1"})"), where);
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a"], "gold": 0})"),
              AllOf(where, HasSubstr("two or more strings")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", ""], "gold": 0})"),
              AllOf(where, HasSubstr("entry 1 of \"choices\" is empty")));
  EXPECT_THAT(second(R"({"query": "q", "choices": ["a", 7], "gold": 0})"),
              AllOf(where, HasSubstr("entry 1 of \"choices\" is not a string, but number")));
  EXPECT_THAT(second(R"({"query": 5, "choices": ["a", "b"], "gold": 0})"),
              HasSubstr("\"query\" is not a string"));
  EXPECT_THAT(second("{\"query\": \"\xC2\xA0\\n\", \"choices\": [\"a\", \"b\"], \"gold\": 0}"),
              HasSubstr("\"query\" holds nothing but white space"));
  EXPECT_THAT(second(R"({"query": "q", "query": "r", "choices": ["a", "b"], "gold": 0})"), where);
}

}  // namespace
}  // namespace bitmill

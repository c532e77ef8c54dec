#include "eval/task_scores.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.hpp"

namespace bitmill {
namespace {

using ::testing::HasSubstr;

Task task_of(TaskKind kind, const std::vector<TaskItem>& items) {
  return {.path = "t.jsonl", .name = "t", .kind = kind, .items = items};
}
TaskItem item_with(int64_t pairs, int64_t gold, const std::vector<int64_t>& lengths = {}) {
  return {.line = 3, .pairs = std::vector<TaskPair>(pairs), .lengths = lengths, .gold = gold};
}

TEST(TaskScores, TheMostLikelyAnswerCountsAndLongOnesLoseUnlessNormed) {
  // Right as it is; right only per character; right only as it is; never right.
  const Task task =
      task_of(TaskKind::choices, {item_with(2, 0, {10, 10}), item_with(2, 1, {2, 10}),
                                  item_with(3, 2, {100, 4, 4}), item_with(2, 0, {5, 5})});
  const std::vector<TextScore> scores = {{-1, 0}, {-2, 0}, {-4, 0},  {-5, 0}, {-9, 0},
                                         {-8, 0}, {-7, 0}, {-12, 0}, {-11, 0}};
  const TaskScore score = summarize_task(task, scores);
  EXPECT_EQ(score.items, 4);
  EXPECT_DOUBLE_EQ(score.acc.value, 0.5);
  EXPECT_DOUBLE_EQ(score.acc_norm->value, 0.5);
  // Two of four: sqrt(4 * 0.25 / 3 / 4).
  EXPECT_DOUBLE_EQ(score.acc.error, std::sqrt(1.0 / 12));
  EXPECT_FALSE(score.perplexity.has_value());
}

TEST(TaskScores, OfEqualAnswersTheFirstIsTaken) {
  const Task task = task_of(TaskKind::contexts, {item_with(2, 0), item_with(2, 1)});
  const std::vector<TextScore> scores = {{-3, 0}, {-3, 0}, {-3, 0}, {-3, 0}};
  const TaskScore score = summarize_task(task, scores);
  EXPECT_DOUBLE_EQ(score.acc.value, 0.5);
  EXPECT_FALSE(score.acc_norm.has_value()) << "contexts are not normed";
}

TEST(TaskScores, AContinuationIsRightWhenEveryTokenIsTheMostLikely) {
  const Task task =
      task_of(TaskKind::continuation, {item_with(1, 0), item_with(1, 0), item_with(1, 0)});
  const std::vector<TextScore> scores = {{-1, 1}, {-2, 0}, {-6, 0}};
  const TaskScore score = summarize_task(task, scores);
  EXPECT_DOUBLE_EQ(score.acc.value, 1.0 / 3);
  EXPECT_DOUBLE_EQ(score.perplexity->value, std::exp(3));
  EXPECT_DOUBLE_EQ(score.perplexity->error, std::exp(3) * std::sqrt(7.0 / 3));
}

TEST(TaskScores, OneItemHasNoStandardError) {
  const TaskScore score =
      summarize_task(task_of(TaskKind::continuation, {item_with(1, 0)}), std::vector<TextScore>(1));
  EXPECT_TRUE(std::isnan(score.acc.error));
}

TEST(TaskScores, AScoreThatIsNotFiniteNamesItsLine) {
  const Task task = task_of(TaskKind::contexts, {item_with(2, 0)});
  for (const double bad : {std::nan(""), -HUGE_VAL}) {
    try {
      summarize_task(task, std::vector<TextScore>{{-1, 0}, {bad, 0}});
      ADD_FAILURE() << "not refused";
    } catch (const NumericError& error) {
      EXPECT_THAT(error.what(), HasSubstr("t.jsonl, line 3"));
    }
  }
}

}  // namespace
}  // namespace bitmill

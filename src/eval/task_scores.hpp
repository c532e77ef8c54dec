#pragma once
// From the scores of a task's texts to what is reported.

#include <optional>
#include <span>
#include <string>

#include "eval/task_file.hpp"
#include "eval/text_scores.hpp"

namespace bitmill {

struct TaskFigure {
  double value = 0;
  double error = 0;  // its standard error; NaN where there is one item only
};

struct TaskScore {
  std::string name;  // of the task
  std::string path;
  int64_t items = 0;
  // Ratio of items whose right answer is the most likely one. continuation: whose continuation is
  // what the model would write.
  TaskFigure acc;
  std::optional<TaskFigure> acc_norm;    // choices: likelihoods are divided by characters first
  std::optional<TaskFigure> perplexity;  // continuation: of a continuation, not of a token
};

// `scores`: of all pairs of all items, in order. NumericError, with the line, for a score that is
// not finite.
TaskScore summarize_task(const Task& task, std::span<const TextScore> scores);

}  // namespace bitmill

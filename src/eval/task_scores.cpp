#include "eval/task_scores.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "base/error.hpp"

namespace bitmill {
namespace {

// Mean, and the standard deviation of a sample over the root of its size.
TaskFigure mean_of(const std::vector<double>& values) {
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / count;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (count - 1) / count)};  // one item: 0 / 0
}

// exp of minus the mean; its error to first order.
TaskFigure perplexity_of(const std::vector<double>& log_likelihoods) {
  const TaskFigure mean = mean_of(log_likelihoods);
  const double perplexity = std::exp(-mean.value);
  return {perplexity, perplexity * mean.error};
}

// Whether the gold answer has the largest score. Of equal scores the first counts.
double is_right(const std::vector<double>& answers, int64_t gold) {
  return std::ranges::max_element(answers) - answers.begin() == gold ? 1.0 : 0.0;
}

// The items' results, in their order.
struct ItemResults {
  std::vector<double> right, right_normed, log_likelihoods;
};

void add_item(const TaskItem& item, TaskKind kind, std::span<const TextScore> scores,
              ItemResults& results) {
  if (kind == TaskKind::continuation) {
    results.right.push_back(static_cast<double>(scores.front().greedy));
    results.log_likelihoods.push_back(scores.front().log_likelihood);
    return;
  }
  std::vector<double> answers, normed;
  for (size_t i = 0; i < scores.size(); ++i) {
    answers.push_back(scores[i].log_likelihood);
    if (kind == TaskKind::choices) {
      normed.push_back(scores[i].log_likelihood / static_cast<double>(item.lengths[i]));
    }
  }
  results.right.push_back(is_right(answers, item.gold));
  if (kind == TaskKind::choices) results.right_normed.push_back(is_right(normed, item.gold));
}

void check_finite(const Task& task, const TaskItem& item, std::span<const TextScore> scores) {
  for (const TextScore& score : scores) {
    BITMILL_CHECK(std::isfinite(score.log_likelihood), NumericError,
                  fmt::format("{}, line {}: the log likelihood of an answer is {}; the model "
                              "overflows float32, or is damaged",
                              task.path, item.line, score.log_likelihood));
  }
}

}  // namespace

TaskScore summarize_task(const Task& task, std::span<const TextScore> scores) {
  ItemResults results;
  for (const TaskItem& item : task.items) {
    assert(scores.size() >= item.pairs.size());
    const auto of_item = scores.first(item.pairs.size());
    scores = scores.subspan(item.pairs.size());
    check_finite(task, item, of_item);
    add_item(item, task.kind, of_item, results);
  }
  TaskScore score{.name = task.name,
                  .path = task.path,
                  .items = std::ssize(task.items),
                  .acc = mean_of(results.right),
                  .acc_norm = std::nullopt,
                  .perplexity = std::nullopt};
  if (task.kind == TaskKind::choices) score.acc_norm = mean_of(results.right_normed);
  if (task.kind == TaskKind::continuation) {
    score.perplexity = perplexity_of(results.log_likelihoods);
  }
  return score;
}

}  // namespace bitmill

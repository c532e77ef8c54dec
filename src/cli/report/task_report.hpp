#pragma once
// The scores of tasks, for people and for scripts.

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/task_scores.hpp"

namespace bitmill {

// A row for each task: its scores, with their standard errors.
std::string task_table(std::span<const TaskScore> tasks);

// Each score of each task, with its name: ("questions acc", "0.5312 ± 0.0123").
std::vector<std::pair<std::string, std::string>> task_cells(std::span<const TaskScore> tasks);

// A list of objects: task, file, items, and every score with its standard error (null for a single
// item).
nlohmann::ordered_json tasks_json(std::span<const TaskScore> tasks);

}  // namespace bitmill

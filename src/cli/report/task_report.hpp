#pragma once
// The scores of tasks, for people and for scripts.

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "cli/report/table.hpp"
#include "eval/task_scores.hpp"

namespace bitmill {

// A row for each task: its scores, with their standard errors.
std::string task_table(std::span<const TaskScore> tasks);

// A row for each score of each task, in the columns name, before, after. Both have the same tasks.
void add_task_rows(std::span<const TaskScore> before, std::span<const TaskScore> after,
                   Table& table);

// A list of objects: task, file, items, and every score with its standard error (null for a single
// item).
nlohmann::ordered_json tasks_json(std::span<const TaskScore> tasks);

}  // namespace bitmill

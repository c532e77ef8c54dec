#include "cli/report/task_report.hpp"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

// "0.5312 ± 0.0123"; a single item has no error.
std::string format_figure(const TaskFigure& figure) {
  const std::string value = fmt::format("{:.4f}", figure.value);
  return std::isfinite(figure.error) ? fmt::format("{} ± {:.4f}", value, figure.error) : value;
}

std::string format_optional(const std::optional<TaskFigure>& figure) {
  return figure ? format_figure(*figure) : "-";
}

// The scores that a task has, with their names.
std::vector<std::pair<std::string, TaskFigure>> named_scores(const TaskScore& task) {
  std::vector<std::pair<std::string, TaskFigure>> scores = {{"acc", task.acc}};
  if (task.acc_norm) scores.emplace_back("acc_norm", *task.acc_norm);
  if (task.perplexity) scores.emplace_back("perplexity", *task.perplexity);
  return scores;
}

}  // namespace

std::string task_table(std::span<const TaskScore> tasks) {
  Table table({{"task", Table::Align::left}, {"items"}, {"acc"}, {"acc_norm"}, {"perplexity"}});
  for (const TaskScore& task : tasks) {
    table.add_row({task.name, format_count(task.items), format_figure(task.acc),
                   format_optional(task.acc_norm), format_optional(task.perplexity)});
  }
  return table.text();
}

std::vector<std::pair<std::string, std::string>> task_cells(std::span<const TaskScore> tasks) {
  std::vector<std::pair<std::string, std::string>> cells;
  for (const TaskScore& task : tasks) {
    for (const auto& [name, figure] : named_scores(task)) {
      cells.emplace_back(fmt::format("{} {}", task.name, name), format_figure(figure));
    }
  }
  return cells;
}

nlohmann::ordered_json tasks_json(std::span<const TaskScore> tasks) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const TaskScore& task : tasks) {
    nlohmann::ordered_json object = {
        {"task", task.name}, {"file", task.path}, {"items", task.items}};
    for (const auto& [name, figure] : named_scores(task)) {
      object[name] = figure.value;
      object[name + "_stderr"] = figure.error;
    }
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace bitmill

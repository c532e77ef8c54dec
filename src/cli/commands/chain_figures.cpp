#include "cli/commands/chain_figures.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "cli/report/task_report.hpp"
#include "format/inspection.hpp"

namespace bitmill {
namespace {

constexpr const char* no_figure = "-";

// The error of a single item is not a number, which JSON has no word for.
nlohmann::json kept_figure(const TaskFigure& figure) {
  return {{"value", figure.value},
          {"error", std::isfinite(figure.error) ? nlohmann::json(figure.error) : nlohmann::json()}};
}

TaskFigure figure_from(const nlohmann::json& kept, const std::string& where) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  return {json_number(kept, "value", where), json_number_or(kept, "error", none, where)};
}

std::optional<TaskFigure> figure_at(const nlohmann::json& kept, const char* name,
                                    const std::string& where) {
  if (!kept.contains(name)) return std::nullopt;
  return figure_from(kept[name], where);
}

nlohmann::json kept_task(const TaskScore& task) {
  nlohmann::json kept = {{"name", task.name},
                         {"path", task.path},
                         {"items", task.items},
                         {"acc", kept_figure(task.acc)}};
  if (task.acc_norm) kept["acc_norm"] = kept_figure(*task.acc_norm);
  if (task.perplexity) kept["perplexity"] = kept_figure(*task.perplexity);
  return kept;
}

TaskScore task_from(const nlohmann::json& kept, const std::string& where) {
  return {.name = json_string(kept, "name", where),
          .path = json_string(kept, "path", where),
          .items = json_int(kept, "items", where),
          .acc = figure_from(kept.value("acc", nlohmann::json::object()), where),
          .acc_norm = figure_at(kept, "acc_norm", where),
          .perplexity = figure_at(kept, "perplexity", where)};
}

// The columns of figures, by the first row, which has every one but the divergence.
std::vector<Table::Column> columns_of(const ChainRow& first, bool diverges) {
  std::vector<Table::Column> columns = {{"", Table::Align::left}};
  if (first.figures.evaluation) columns.push_back({"perplexity"});
  if (diverges) {
    columns.push_back({"KL, nats"});
    columns.push_back({"top-1"});
  }
  for (const auto& [name, value] : task_cells(first.figures.tasks)) columns.push_back({name});
  for (const char* title : {"bits/weight", "bits/parameter", "size", "time"}) {
    columns.push_back({title});
  }
  return columns;
}

bool has_divergence(const ChainRow& row) {
  return row.figures.evaluation && row.figures.evaluation->divergence;
}

}  // namespace

ChainRow describe_folder(Files& files, const std::string& name, const std::string& folder) {
  const Inspection inspection = inspect_folder(files, folder);
  ChainRow row;
  row.name = name;
  row.folder = folder;
  if (!inspection.linears.empty()) row.bits_per_weight = inspection.bits_per_weight();
  row.bits_per_parameter = inspection.bits_per_parameter();
  row.file_bytes = inspection.file_bytes;
  return row;
}

std::string chain_table(std::span<const ChainRow> rows) {
  const bool diverges = std::ranges::any_of(rows, has_divergence);
  Table table(columns_of(rows.front(), diverges));
  for (const ChainRow& row : rows) {
    std::vector<std::string> cells = {row.name};
    if (row.figures.evaluation) {
      cells.push_back(fmt::format("{:.4f}", row.figures.evaluation->perplexity));
    }
    if (has_divergence(row)) {
      cells.push_back(fmt::format("{:.4f}", row.figures.evaluation->divergence->kl));
      cells.push_back(fmt::format("{:.2f} %", 100 * row.figures.evaluation->divergence->top1));
    } else if (diverges) {
      cells.insert(cells.end(), 2, no_figure);
    }
    for (auto& [name, value] : task_cells(row.figures.tasks)) cells.push_back(std::move(value));
    cells.push_back(row.bits_per_weight ? fmt::format("{:.4f}", *row.bits_per_weight) : no_figure);
    cells.push_back(fmt::format("{:.4f}", row.bits_per_parameter));
    cells.push_back(format_bytes(row.file_bytes));
    cells.push_back(row.seconds ? format_seconds(*row.seconds) : no_figure);
    table.add_row(std::move(cells));
  }
  return table.text();
}

nlohmann::ordered_json chain_rows_json(std::span<const ChainRow> rows) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ChainRow& row : rows) {
    nlohmann::ordered_json object = {{"part", row.name}, {"folder", row.folder}};
    if (const auto& evaluation = row.figures.evaluation) {
      object["perplexity"] = evaluation->perplexity;
      if (evaluation->divergence) {
        object["kl"] = evaluation->divergence->kl;
        object["top1"] = evaluation->divergence->top1;
      }
    }
    if (!row.figures.tasks.empty()) object["tasks"] = tasks_json(row.figures.tasks);
    if (row.bits_per_weight) object["bits_per_weight"] = *row.bits_per_weight;
    object["bits_per_parameter"] = row.bits_per_parameter;
    object["file_bytes"] = row.file_bytes;
    if (row.seconds) object["seconds"] = *row.seconds;
    list.push_back(std::move(object));
  }
  return list;
}

std::string keep_figures(const EvalResult& figures) {
  nlohmann::json kept = nlohmann::json::object();
  if (const auto& evaluation = figures.evaluation) {
    kept["perplexity"] = evaluation->perplexity;
    kept["tokens"] = evaluation->tokens;
    kept["windows"] = evaluation->windows;
    kept["seq_len"] = evaluation->seq_len;
    if (evaluation->divergence) {
      kept["kl"] = evaluation->divergence->kl;
      kept["top1"] = evaluation->divergence->top1;
    }
  }
  for (const TaskScore& task : figures.tasks) kept["tasks"].push_back(kept_task(task));
  return kept.dump();
}

EvalResult read_figures(const std::string& text, const std::string& where) {
  const nlohmann::json kept = parse_json(text, where);
  EvalResult figures;
  if (kept.contains("perplexity")) {
    Evaluation evaluation{.perplexity = json_number(kept, "perplexity", where),
                          .tokens = json_int(kept, "tokens", where),
                          .windows = json_int(kept, "windows", where),
                          .seq_len = json_int(kept, "seq_len", where),
                          .divergence = std::nullopt};
    if (kept.contains("kl")) {
      evaluation.divergence = {json_number(kept, "kl", where), json_number(kept, "top1", where)};
    }
    figures.evaluation = evaluation;
  }
  for (const nlohmann::json& task : kept.value("tasks", nlohmann::json::array())) {
    figures.tasks.push_back(task_from(task, where));
  }
  return figures;
}

}  // namespace bitmill

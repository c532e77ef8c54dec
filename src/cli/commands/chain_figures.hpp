#pragma once
// What a chain measures: the original and every result on the same windows and tasks. For people,
// for scripts, and as the chain's folder keeps it.

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "cli/commands/eval_job.hpp"

namespace bitmill {

// One row of the table.
struct ChainRow {
  std::string name;  // "original", or the part that made the folder
  std::string folder;
  EvalResult figures;
  std::optional<double> bits_per_weight;  // nothing for a 16-bit folder
  double bits_per_parameter = 0;
  int64_t file_bytes = 0;
  std::optional<double> seconds;  // of the part, all starts; nothing for the original
};

// Everything but the figures and the seconds, from what lies in the folder.
ChainRow describe_folder(Files& files, const std::string& name, const std::string& folder);

// One row each. All have the same windows and tasks.
std::string chain_table(std::span<const ChainRow> rows);
// One object each.
nlohmann::ordered_json chain_rows_json(std::span<const ChainRow> rows);

// Every figure, exactly.
std::string keep_figures(const EvalResult& figures);
// FormatError naming `where`.
EvalResult read_figures(const std::string& kept, const std::string& where);

}  // namespace bitmill

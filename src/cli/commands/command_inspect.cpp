#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands/command.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/table.hpp"
#include "format/inspection.hpp"

namespace bitmill {
namespace {

constexpr size_t few_linears = 16;  // about two blocks: with the rest they fit on a screen

double per_item(int64_t bits, int64_t items) {
  return items > 0 ? static_cast<double>(bits) / static_cast<double>(items) : 0;
}

std::string linears_table(const Inspection& inspection) {
  Table table({{"linear", Table::Align::left},
               {"rows"},
               {"cols"},
               {"4-bit cols"},
               {"bytes"},
               {"bits/weight"}});
  for (const LinearCount& linear : inspection.linears) {
    table.add_row({linear.name, format_count(linear.rows), format_count(linear.cols),
                   format_count(linear.salient_cols), format_count(linear.bits / 8),
                   fmt::format("{:.4f}", linear.bits_per_weight())});
  }
  return table.text() + "\n";
}

// Every stored bit is in one of these rows.
std::string blocks_table(const Inspection& inspection) {
  Table table({{"part", Table::Align::left}, {"weights"}, {"bytes"}, {"bits/weight"}});
  const auto add = [&](const std::string& part, int64_t weights, int64_t bits) {
    table.add_row({part, format_count(weights), format_count(bits / 8),
                   fmt::format("{:.4f}", per_item(bits, weights))});
  };
  for (const BlockCount& block : inspection.blocks) {
    add(fmt::format("block {}", block.block), block.weights, block.bits);
  }
  add("all packed linears", inspection.linear_weights, inspection.linear_bits);
  add("everything else", inspection.other_parameters, inspection.other_bits);
  const int64_t header_bits = 8 * (inspection.file_bytes - inspection.tensor_bytes);
  table.add_row({"file headers", "", format_count(header_bits / 8), ""});
  add("whole file", inspection.linear_weights + inspection.other_parameters,
      8 * inspection.file_bytes);
  return table.text();
}

std::string inspection_text(const Inspection& inspection, bool all_linears) {
  const bool few = !inspection.linears.empty() && inspection.linears.size() <= few_linears;
  std::string text = all_linears || few ? linears_table(inspection) : "";
  text += blocks_table(inspection);
  if (inspection.linears.empty()) return text + "\nno packed linears: this is a 16-bit folder\n";
  return text + fmt::format(
                    "\n{:.4f} bits per weight (packed linears), {:.4f} bits per parameter "
                    "(whole file)\n",
                    inspection.bits_per_weight(), inspection.bits_per_parameter());
}

std::string inspection_json(const std::string& folder, const Inspection& inspection) {
  nlohmann::ordered_json linears = nlohmann::ordered_json::array();
  for (const LinearCount& linear : inspection.linears) {
    linears.push_back({{"name", linear.name},
                       {"rows", linear.rows},
                       {"cols", linear.cols},
                       {"salient_cols", linear.salient_cols},
                       {"bits_per_weight", linear.bits_per_weight()}});
  }
  nlohmann::ordered_json blocks = nlohmann::ordered_json::array();
  for (const BlockCount& block : inspection.blocks) {
    blocks.push_back({{"block", block.block},
                      {"weights", block.weights},
                      {"bits_per_weight", per_item(block.bits, block.weights)}});
  }
  const nlohmann::ordered_json json = {{"model", folder},
                                       {"bits_per_weight", inspection.bits_per_weight()},
                                       {"bits_per_parameter", inspection.bits_per_parameter()},
                                       {"file_bytes", inspection.file_bytes},
                                       {"tensor_bytes", inspection.tensor_bytes},
                                       {"linear_weights", inspection.linear_weights},
                                       {"linear_bits", inspection.linear_bits},
                                       {"other_parameters", inspection.other_parameters},
                                       {"other_bits", inspection.other_bits},
                                       {"blocks", blocks},
                                       {"linears", linears}};
  return json_line(json);
}

class InspectCommand : public Command {
 public:
  explicit InspectCommand(const Settings& settings)
      : folder_(settings.folder_or("model", "")),
        json_(settings.is_on("json")),
        all_linears_(settings.is_on("linears")) {
    settings.require({"model"}, "inspect");
  }

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    const Inspection inspection = inspect_folder(context.files, folder_);
    context.console.print(json_ ? inspection_json(folder_, inspection)
                                : inspection_text(inspection, all_linears_));
  }

 private:
  const std::string folder_;
  const bool json_;
  const bool all_linears_;
};

}  // namespace

CommandEntry inspect_entry() {
  return {.name = "inspect",
          .summary = "count every bit that a model folder stores",
          .about = "Counts every stored bit of a model folder, per block and for the whole file.",
          .usage = {"inspect DIR [options]"},
          .example = "bitmill inspect /tmp/books-packed",
          .positional = "model",
          .options = {{"options",
                       {{"model", "DIR", "", "the folder; --model may be left out"},
                        {"linears", "", "", "list every linear, also when there are many"},
                        config_option(),
                        json_option("the counts")}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            return std::make_unique<InspectCommand>(settings);
          }};
}

}  // namespace bitmill

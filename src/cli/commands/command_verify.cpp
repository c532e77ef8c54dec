#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "checkpoint/audit.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/command.hpp"
#include "cli/report/console.hpp"
#include "cli/report/quantity.hpp"

namespace bitmill {
namespace {

nlohmann::ordered_json audit_json(const RunAudit& audit) {
  nlohmann::ordered_json faults = nlohmann::ordered_json::array();
  for (const FileFault& fault : audit.faults) {
    faults.push_back({{"path", fault.path}, {"what", fault.what}});
  }
  return {{"sound", audit.sound()},      {"state", audit.state_path},
          {"files", audit.files},        {"bytes", audit.bytes},
          {"faults", std::move(faults)}, {"redo_blocks", audit.redo_blocks}};
}

std::string fault_text(const RunAudit& audit) {
  std::vector<std::string> lines;
  for (const FileFault& fault : audit.faults) lines.push_back(fault.what);
  std::string text = fmt::format("{}", fmt::join(lines, "\n"));
  if (!audit.redo_blocks.empty()) {
    text += fmt::format("\nbuild what is damaged again, and compare, with --redo-blocks {}",
                        fmt::join(audit.redo_blocks, ","));
  }
  return text;
}

class VerifyCommand : public Command {
 public:
  VerifyCommand(std::string work_dir, bool json) : work_dir_(std::move(work_dir)), json_(json) {}

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    refuse_chain(context.files);
    const RunAudit audit = audit_run(context.files, work_dir_, context.pool);
    if (json_) context.console.print(json_line(audit_json(audit)));
    BITMILL_CHECK(audit.sound(), FormatError, fault_text(audit));
    if (json_) return;
    context.console.print(fmt::format("{}: {} with {} are whole\n", audit.state_path,
                                      format_number_of("file", audit.files),
                                      format_bytes(audit.bytes)));
  }

 private:
  void refuse_chain(Files& files) const {
    if (!holds_chain(files, work_dir_)) return;
    std::vector<std::string> folders;
    for (const ChainPart& part : read_chain(files, work_dir_).parts) {
      if (files.is_directory(part.work_dir)) folders.push_back(part.work_dir);
    }
    throw UsageError(
        fmt::format("{} is the folder of a chain (bitmill run); its runs are in {}: verify these",
                    work_dir_, fmt::join(folders, ", ")));
  }

  const std::string work_dir_;
  const bool json_;
};

}  // namespace

CommandEntry verify_entry() {
  return {.name = "verify",
          .summary = "check every file of a run's work folder against its hash",
          .about =
              "Reads all of the work folder of a run, while it runs or afterwards, and changes "
              "nothing. Names every damaged file and how to repair it, and then exits with 1.",
          .usage = {"verify --work-dir DIR [options]"},
          .example = "bitmill verify --work-dir smol-packed.work",
          .positional = "work-dir",
          .options = {{"options",
                       {{"work-dir", "DIR", "", "the work folder of the run"},
                        threads_option(),
                        json_option("what was found")}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            settings.require({"work-dir"}, "verify");
            return std::make_unique<VerifyCommand>(settings.folder_or("work-dir", ""),
                                                   settings.is_on("json"));
          }};
}

}  // namespace bitmill

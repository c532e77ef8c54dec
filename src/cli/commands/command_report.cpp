#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "checkpoint/audit.hpp"
#include "checkpoint/run_dir.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/commands/chain_status.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/help.hpp"
#include "cli/report/loss_curve.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/status_table.hpp"
#include "comm/mpi_session.hpp"
#include "pipeline/job/fingerprint.hpp"

namespace bitmill {
namespace {

// A holder writes a beat every second.
const ClaimTiming report_timing{std::chrono::milliseconds(3000), std::chrono::milliseconds(100)};

std::string section(const std::string& title, const std::string& text) {
  std::string indented = fmt::format("\n{}\n", title);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    indented += "  " + text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  return indented;
}

std::string kernel() {
  utsname name = {};
  return ::uname(&name) == 0 ? fmt::format("{} {} {}", name.sysname, name.release, name.machine)
                             : "unknown system";
}

std::string versions() {
  return fmt::format("{}arithmetic {}, work folder {}\n{}\n{}\nhere: {}", version_text(),
                     arithmetic_version, run_dir_version, MpiSession::library(), kernel(),
                     numerics_class("cpu"));
}

// What the run is: settings, shapes and hashes, no weights and no text.
std::string record_text(const RunState& state) {
  const RunRecord record =
      state.has_record() ? state.record() : RunRecord{read_failure(state).fingerprint_json, {}};
  if (record.fingerprint_json.empty()) return "the run has left none";
  std::string text = nlohmann::json::parse(record.fingerprint_json).dump(2);
  for (const std::string& machine : record.numerics_classes) text += "\nworked on by: " + machine;
  return text;
}

std::string lines_of(const std::vector<std::string>& events) {
  std::string text;
  for (const std::string& event : events) text += event + "\n";
  return text.empty() ? "none were logged" : text;
}

std::string audit_text(const RunAudit& audit) {
  std::string text =
      fmt::format("{}, {}\n", format_number_of("file", audit.files), format_bytes(audit.bytes));
  for (const FileFault& fault : audit.faults) text += fault.what + "\n";
  return text + (audit.sound() ? "all whole" : "");
}

// A report is made when things are broken. When a part cannot be read, the report holds the error
// instead.
std::string words_of(const std::function<std::string()>& part) {
  try {
    return part();
  } catch (const std::exception& error) {
    return fmt::format("cannot be told: {}", error.what());
  }
}

// What a folder tells, section by section. `of`: whose sections these are.
class FolderReport {
 public:
  FolderReport(RunContext& context, std::string work_dir, std::string of)
      : context_(context), work_dir_(std::move(work_dir)), of_(std::move(of)) {}

  void print(const std::string& title, const std::function<std::string()>& part) const {
    context_.console.print(
        section(of_.empty() ? title : fmt::format("{}: {}", of_, title), words_of(part)));
  }

  void print_run() {
    Files& files = context_.files;
    print("run", [&] { return run_text(files); });
    print("settings", [&] {
      const auto found = find_state(files, work_dir_);
      return found ? record_text(RunState(files, found->path)) : "there is no state of a run";
    });
    print_trouble();
    const LossLog losses = read_loss_log(files, work_dir_);
    if (!losses.points.empty()) print("losses", [&] { return loss_text(losses); });
    print("last events", [&] { return lines_of(events_); });
    print("files", [&] {
      return inspect_work_dir(files, work_dir_) == Occupancy::nothing
                 ? "nothing was committed"
                 : audit_text(audit_run(files, work_dir_, context_.pool));
    });
  }

  void print_trouble() const {
    print("what every rank did last", [&] {
      const std::string path = join_path(work_dir_, "trouble.json");
      return context_.files.exists(path) ? read_text(context_.files, path, int64_t{1} << 24)
                                         : "no rank of the last start was lost or failed";
    });
  }

 private:
  std::string run_text(Files& files) {
    const RunStatus status = read_status(files, work_dir_, report_timing);
    events_ = status.last_events;
    return status_table(status);
  }

  RunContext& context_;
  const std::string work_dir_, of_;
  std::vector<std::string> events_;
};

class ReportCommand : public Command {
 public:
  explicit ReportCommand(std::string work_dir) : work_dir_(std::move(work_dir)) {}

  void run(RunContext& context) override {
    if (context.comm.rank() != 0) return;
    Files& files = context.files;
    BITMILL_CHECK(files.is_directory(work_dir_), UsageError,
                  fmt::format("there is no folder {}; give the --work-dir of the run", work_dir_));
    context.console.print(
        "bitmill report: versions, settings, states and hashes; no weights, no text. Read it "
        "before you send it: errors may name folders of yours.\n");
    FolderReport whole(context, work_dir_, "");
    whole.print("versions", versions);
    if (!holds_chain(files, work_dir_)) return whole.print_run();
    whole.print("chain", [&] {
      return chain_status_table(read_chain_status(files, work_dir_, report_timing));
    });
    whole.print_trouble();
    print_parts(context);
  }

 private:
  // Preprocess has two runs, that of its base first.
  void print_parts(RunContext& context) const {
    const std::string broken = words_of([&] {
      for (const ChainPart& part : read_chain(context.files, work_dir_).parts) {
        const std::string base = part.work_dir + "-base.work";
        if (context.files.is_directory(base)) {
          FolderReport(context, base, part.name + ", its base").print_run();
        }
        if (context.files.is_directory(part.work_dir)) {
          FolderReport(context, part.work_dir, part.name).print_run();
        }
      }
      return std::string();
    });
    if (!broken.empty()) context.console.print(section("parts", broken));
  }

  const std::string work_dir_;
};

}  // namespace

CommandEntry report_entry() {
  return {.name = "report",
          .summary = "print what a bug report about a run should hold",
          .about =
              "Prints versions, settings, the state of the run, what every rank did last, the last "
              "events and the state of every file of a work folder, and changes nothing. It holds "
              "no weights and no text.",
          .usage = {"report --work-dir DIR [options]"},
          .example = "bitmill report --work-dir smol-packed.work > report.txt",
          .positional = "work-dir",
          .options = {{"options",
                       {{"work-dir", "DIR", "", "the work folder of the run"}, threads_option()}}},
          .make = [](Files&, const Settings& settings) -> std::unique_ptr<Command> {
            settings.require({"work-dir"}, "report");
            return std::make_unique<ReportCommand>(settings.folder_or("work-dir", ""));
          }};
}

}  // namespace bitmill

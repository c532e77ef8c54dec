#include "cli/commands/chain_status.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "checkpoint/run_dir.hpp"
#include "cli/commands/chain_state.hpp"
#include "cli/report/status_table.hpp"
#include "cli/report/table.hpp"

namespace bitmill {
namespace {

constexpr const char* eval_part = "eval";

bool is_finished(Files& files, const std::string& work_dir) {
  return inspect_work_dir(files, work_dir) == Occupancy::finished;
}

// Fills in the run of a part, where it has begun. Preprocess makes its base first, in a folder of
// its own.
void look_at_run(Files& files, const ChainPartStatus& part, const ClaimTiming& timing,
                 ChainStatus& status) {
  for (const std::string& folder : {part.work_dir, part.work_dir + "-base.work"}) {
    if (!files.is_directory(folder) || is_finished(files, folder)) continue;
    try {
      status.run = read_status(files, folder, timing);
      status.run_dir = folder;
      return;
    } catch (const UsageError&) {  // it was made, and holds no run yet
    }
  }
}

// The failure of the current part. A part's folder keeps its last failure, and a start of the chain
// after that may have stopped well before it came to the part.
std::string failure_of_part(const ChainStatus& status) {
  if (!status.run) return "";
  const auto &chain = status.holder, &part = status.run->holder;
  const bool later_start = chain && part && !is_same_process(chain->holder, part->holder) &&
                           !chain->outcome.starts_with("failed");
  return later_start ? "" : status.run->failure;
}

std::vector<ChainPartStatus> parts_of(Files& files, const ChainRecord& record) {
  std::vector<ChainPartStatus> parts;
  bool before = true;
  for (const ChainPart& part : record.parts) {
    // The folder of the run may have been removed, as it may be when a run is done.
    before = before && (files.exists(part.work_dir) ? is_finished(files, part.work_dir)
                                                    : record.done.contains(part.name));
    parts.push_back({part.name, part.work_dir, part.output_dir, before});
  }
  parts.push_back({eval_part, "", "", before && record.finished});
  return parts;
}

}  // namespace

ChainStatus read_chain_status(Files& files, const std::string& work_dir,
                              const ClaimTiming& timing) {
  const ChainRecord record = read_chain(files, work_dir);
  const std::string state_path = find_state(files, work_dir)->path;
  ChainStatus status;
  status.parts = parts_of(files, record);
  status.current = static_cast<size_t>(
      std::ranges::find(status.parts, false, &ChainPartStatus::done) - status.parts.begin());
  status.measured = std::ssize(record.measured);
  status.folders_to_measure = record.folders_to_measure;
  status.holder = read_holder(files, state_path);
  status.failure = record.failure;
  const bool done = status.current == status.parts.size();
  if (!done && status.parts[status.current].name != eval_part) {
    look_at_run(files, status.parts[status.current], timing, status);
  }
  if (status.failure.empty()) status.failure = failure_of_a_rank(files, work_dir);
  if (status.failure.empty()) status.failure = failure_of_part(status);
  if (status.run) {
    status.starts_in_vain = status.run->starts_in_vain();
  } else if (status.holder && record.steps() <= status.holder->steps_at_start) {
    status.starts_in_vain = status.holder->starts_without_commit - 1;
  }
  const bool released = status.holder && status.holder->released;
  if (!released && is_alive(files, state_path, timing)) {
    status.phase = RunPhase::running;
  } else if (done) {
    status.phase = RunPhase::done;
  } else if (!status.failure.empty()) {
    status.phase = RunPhase::failed;
  }
  return status;
}

std::string chain_status_table(const ChainStatus& status) {
  Table table({{"", Table::Align::left}, {"", Table::Align::left}});
  table.add_row({"chain", word_of(status.phase)});
  for (size_t i = 0; i < status.parts.size(); ++i) {
    const ChainPartStatus& part = status.parts[i];
    std::string words = part.done ? "done" : "waits";
    if (!part.done && i == status.current) words = word_of(status.phase);
    if (!part.output_dir.empty()) words += ": " + part.output_dir;
    if (part.name == eval_part && i == status.current) {
      words += fmt::format(": {} of {} folders measured",
                           std::min(status.measured, status.folders_to_measure),
                           status.folders_to_measure);
    }
    table.add_row({fmt::format("part {}: {}", i + 1, part.name), words});
  }
  if (status.holder) table.add_row({"holder", describe(status.holder->holder)});
  if (status.starts_in_vain > 0) {
    table.add_row({"starts in vain", fmt::format("{}", status.starts_in_vain)});
  }
  if (!status.failure.empty()) table.add_row({"failure", status.failure});
  std::string text = table.text();
  if (status.run) {
    text += fmt::format("\n{}:\n{}", status.parts[status.current].name, status_table(*status.run));
  }
  return text;
}

}  // namespace bitmill

#include "cli/commands/chain_state.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "checkpoint/hashed_json.hpp"
#include "checkpoint/layout.hpp"

namespace bitmill {
namespace {

constexpr const char* chain_file = "chain.json";
constexpr int chain_version = 1;

// Relative where it lies in the chain's folder.
std::string kept_path(Files& files, const std::string& work_dir, const std::string& path) {
  const std::string real = files.resolve(path), around = files.resolve(work_dir);
  return lies_in(real, around) && real != around ? real.substr(around.size() + 1) : real;
}

std::string usable_path(const std::string& work_dir, const std::string& kept) {
  return kept.starts_with('/') ? kept : join_path(work_dir, kept);
}

nlohmann::json to_json(Files& files, const std::string& work_dir, const ChainRecord& record) {
  nlohmann::json parts = nlohmann::json::array();
  for (const ChainPart& part : record.parts) {
    parts.push_back({{"name", part.name},
                     {"output_dir", kept_path(files, work_dir, part.output_dir)},
                     {"work_dir", kept_path(files, work_dir, part.work_dir)}});
  }
  nlohmann::json measured = nlohmann::json::object();
  for (const auto& [what, figures] : record.measured)
    measured[what] = nlohmann::json::parse(figures);
  return {{"chain_version", chain_version},
          {"parts", parts},
          {"folders_to_measure", record.folders_to_measure},
          {"done", record.done},
          {"measured", measured},
          {"seconds", record.seconds},
          {"finished", record.finished},
          {"failure", record.failure}};
}

ChainRecord chain_from_json(const nlohmann::json& content, const std::string& work_dir,
                            const std::string& where) {
  BITMILL_CHECK(json_int(content, "chain_version", where) == chain_version, FormatError,
                fmt::format("{} is of version {} and this bitmill knows {}; go on with the bitmill "
                            "that wrote it, or give another --work-dir",
                            where, json_int(content, "chain_version", where), chain_version));
  ChainRecord record;
  try {
    for (const nlohmann::json& part : content.at("parts")) {
      record.parts.push_back({json_string(part, "name", where),
                              usable_path(work_dir, json_string(part, "output_dir", where)),
                              usable_path(work_dir, json_string(part, "work_dir", where))});
    }
    record.folders_to_measure = json_int(content, "folders_to_measure", where);
    record.done = content.at("done").get<std::set<std::string>>();
    for (const auto& [what, figures] : content.at("measured").items()) {
      record.measured[what] = figures.dump();
    }
    record.seconds = content.at("seconds").get<std::map<std::string, double>>();
    record.finished = content.at("finished").get<bool>();
    record.failure = json_string(content, "failure", where);
  } catch (const nlohmann::json::exception& error) {
    throw FormatError(fmt::format("{}: {}", where, error.what()));
  }
  return record;
}

}  // namespace

bool holds_chain(Files& files, const std::string& work_dir) {
  if (!files.is_directory(work_dir)) return false;
  const auto found = find_state(files, work_dir);
  return found && files.exists(join_path(found->path, chain_file));
}

ChainRecord read_chain(Files& files, const std::string& work_dir) {
  const std::string path = join_path(find_state(files, work_dir)->path, chain_file);
  return chain_from_json(read_hashed_json(files, path), work_dir, path);
}

ChainState::ChainState(Files& files, const std::string& work_dir,
                       const std::vector<ChainPart>& parts, const RunControl& control,
                       const std::function<void(const std::string&)>& say)
    : files_(files), say_(say) {
  if (files.is_directory(work_dir)) {
    const auto found = find_state(files, work_dir);
    BITMILL_CHECK(!found || !files.exists(join_path(found->path, layout::record)), UsageError,
                  fmt::format("{} is the run folder of a single job, not of a chain; give "
                              "bitmill run another --work-dir",
                              work_dir));
  }
  claim_ = Claim::take(files, work_dir, this_process(control.host, control.job),
                       control.claim_timing, say);
  if (control.heartbeat) heartbeat_.emplace(*claim_);
  if (holds_chain(files, work_dir)) record_ = read_chain(files, work_dir);
  if (record_.parts != parts) record_.done.clear();
  record_.parts = parts;
  record_.folders_to_measure = std::ssize(parts) + 1;
  record_.finished = false;
  record_.failure.clear();
  steps_at_start_ = record_.steps();
}

void ChainState::answer() {
  if (answered_) return;
  answered_ = true;
  const std::string trouble = join_path(claim_->work_dir(), layout::trouble);
  if (files_.exists(trouble)) files_.remove(trouble);
  claim_->record_start(steps_at_start_);
  save();
}

std::optional<std::string> ChainState::measured(const std::string& what) {
  used_.insert(what);
  const auto found = record_.measured.find(what);
  return found == record_.measured.end() ? std::nullopt : std::optional(found->second);
}

void ChainState::add_measured(const std::string& what, const std::string& figures) {
  record_.measured[what] = figures;
  used_.insert(what);
  save();
}

void ChainState::base_done() {
  if (record_.done.insert(base_step).second && answered_) save();
}

void ChainState::part_done(const std::string& part, double seconds) {
  record_.done.insert(part);
  if (seconds > 0) record_.seconds[part] += seconds;
  save();
}

void ChainState::part_stopped(const std::string& part, double seconds) {
  if (seconds > 0) record_.seconds[part] += seconds;
  try {
    save();
  } catch (const FileError& error) {
    say_(fmt::format("how long [{}] took could not be recorded: {}", part, error.what()));
  }
}

void ChainState::save() {
  claim_->check();
  const std::string path = join_path(claim_->state_path(), chain_file);
  write_hashed_json(files_, path, claim_->beside(path),
                    to_json(files_, claim_->work_dir(), record_));
}

void ChainState::release(const std::string& outcome, bool changed) {
  heartbeat_.reset();
  try {
    if (changed) {
      claim_->release(outcome);
    } else {
      claim_->withdraw(outcome);
    }
  } catch (const Error& error) {
    say_(fmt::format("the chain's folder could not be given back: {}", error.what()));
  }
}

void ChainState::finish() {
  record_.finished = true;
  // A start that only verified what is there is no start in vain.
  const bool changed = record_.steps() > steps_at_start_;
  // Figures of older configurations would count as folders of this one.
  std::erase_if(record_.measured, [&](const auto& one) { return !used_.contains(one.first); });
  save();
  release("done", changed);
}

void ChainState::stop(const std::string& why) { release("stopped: " + why, true); }

void ChainState::fail(const std::string& why) {
  // Before a part's folder has answered this start was refused, and decides nothing.
  if (answered_) {
    record_.failure = why;
    try {
      save();
    } catch (const Error& error) {
      say_(fmt::format("why the chain failed could not be recorded: {}", error.what()));
    }
  }
  release("failed: " + why, answered_);
}

}  // namespace bitmill

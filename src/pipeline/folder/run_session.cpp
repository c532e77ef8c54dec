#include "pipeline/folder/run_session.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.hpp"
#include "device/device.hpp"
#include "pipeline/job/fingerprint.hpp"
#include "pipeline/ranks/stop_control.hpp"

namespace bitmill {
namespace {

void check_fingerprint(const WorkFolder& folder, const RunState& state,
                       const std::string& fingerprint_json) {
  BITMILL_CHECK(state.has_record(), UsageError,
                fmt::format("{} holds packed blocks of an unfinished run, and its run.json is "
                            "missing; restore it, or discard the run with --resume never",
                            folder.path));
  const std::string difference =
      fingerprint_difference(state.record().fingerprint_json, fingerprint_json);
  BITMILL_CHECK(difference.empty(), UsageError,
                fmt::format("{} holds an unfinished run of another configuration: {}; give the "
                            "same settings to go on with it, --resume never to discard it, or "
                            "another --work-dir",
                            folder.path, difference));
}

bool has_class(const RunRecord& record, const std::string& numerics_class) {
  return std::ranges::find(record.numerics_classes, numerics_class) !=
         record.numerics_classes.end();
}

void check_machines(const WorkFolder& folder, const RunRecord& there, const RunRecord& here) {
  for (const std::string& mine : here.numerics_classes) {
    BITMILL_CHECK(has_class(there, mine) || folder.allow_mixed_hardware, UsageError,
                  fmt::format("{}: numerics_class is \"{}\" there and \"{}\" here: the bits would "
                              "not be those of one machine; go on with it on a machine of the "
                              "first kind, or give --allow-mixed-hardware",
                              folder.path, fmt::join(there.numerics_classes, "\", \""), mine));
  }
}

int64_t committed_steps(const std::vector<BlockDone>& done, const Plan& plan) {
  // A packed turn counts 1, however many steps it had. The sum is only compared for equality, to
  // see whether a start committed anything, so this is enough.
  int64_t sum = 0;
  for (const BlockDone& one : done) {
    sum += one.turns >= plan.turns() ? int64_t{1} << 32 : one.turns + one.steps;
  }
  return sum;
}

}  // namespace

WorkFolder work_folder(const QuantizeOptions& options) {
  return {options.work_dir, options.resume, options.redo_blocks, true,
          options.allow_mixed_hardware};
}

WorkFolder work_folder(const TuneOptions& options) {
  return {options.work_dir, options.resume, {}, false, options.allow_mixed_hardware};
}

WorkFolder work_folder(const PreprocessOptions& options) {
  return {options.work_dir, options.resume, {}, false, options.allow_mixed_hardware};
}

void check_work_dir(const WorkFolder& folder, Files& files, const std::string& fingerprint_json) {
  const Occupancy found = inspect_work_dir(files, folder.path);
  const bool goes_on = found == Occupancy::unfinished && folder.resume != Resume::never;
  BITMILL_CHECK(goes_on || folder.resume != Resume::required, UsageError,
                fmt::format("--resume required: {} holds no unfinished run", folder.path));
  BITMILL_CHECK(goes_on || folder.redo_blocks.empty(), UsageError,
                fmt::format("--redo-blocks: {} holds no unfinished run whose blocks could be built "
                            "again",
                            folder.path));
  if (!goes_on) return;
  const auto state = find_state(files, folder.path);
  if (state) check_fingerprint(folder, RunState(files, state->path), fingerprint_json);
}

RunSession::RunSession(const WorkFolder& folder, Files& files, const RunControl& control,
                       const std::function<void(const std::string&)>& say)
    : folder_(folder),
      files_(files),
      say_(say),
      claim_(Claim::take(files, folder.path, this_process(control.host, control.job),
                         control.claim_timing, say)),
      heartbeat_(control.heartbeat ? std::make_unique<Heartbeat>(*claim_) : nullptr),
      dir_(files, *claim_) {}

void RunSession::open(const RunRecord& record, const Plan& plan,
                      const std::map<int, TensorHashes>& sources) {
  opened_ = true;
  record_ = record;
  done_.resize(static_cast<size_t>(plan.blocks));
  // Checked again: the folder may have changed since the first check.
  check_work_dir(folder_, files_, record_.fingerprint_json);
  if (inspect_work_dir(files_, folder_.path) == Occupancy::unfinished &&
      folder_.resume != Resume::never) {
    check(sources);
    go_on(plan);
  } else {
    begun_ = true;
    dir_.begin(record_);
  }
  for (const auto& [block, hashes] : sources) dir_.keep_source(block, hashes);
  claim_->record_start(committed_steps(done_, plan));
}

// Throws where this start would go on with another run than the one that is there. Changes nothing.
void RunSession::check(const std::map<int, TensorHashes>& sources) const {
  check_machines(folder_, dir_.state().record(), record_);
  for (const auto& [block, hashes] : sources) dir_.check_source(block, hashes);
}

void RunSession::go_on(const Plan& plan) {
  goes_on_ = true;
  const RunRecord there = dir_.state().record();
  const std::vector<std::string> ours = record_.numerics_classes;
  record_ = there;
  dir_.resume();
  for (const std::string& one : ours) {
    if (!has_class(record_, one)) record_.numerics_classes.push_back(one);
  }
  if (record_.numerics_classes != there.numerics_classes) dir_.replace_record(record_);
  for (const int block : folder_.redo_blocks) dir_.set_aside(block, plan.turns());
  done_ = take_inventory(plan);
}

std::vector<BlockDone> RunSession::take_inventory(const Plan& plan) const {
  const RunState& state = dir_.state();
  std::vector<BlockDone> all;
  std::vector<std::string> damage;
  std::vector<int> damaged;
  for (int block = 0; block < plan.blocks; ++block) {
    BlockDone found;
    try {
      for (; found.turns < plan.turns() && state.has_packed(block, found.turns); ++found.turns) {
        state.open_packed(block, found.turns);
      }
      if (found.turns < plan.turns() && state.has_live(block)) {
        const Progress live = state.open_live(block).progress;
        found.epochs = live.epochs;
        found.steps = live.steps;
      }
    } catch (const Error& error) {
      damage.emplace_back(error.what());
      damaged.push_back(block);
    }
    all.push_back(usable(found, plan));
  }
  BITMILL_CHECK(damage.empty(), FormatError,
                fmt::format("{}\n{}", fmt::join(damage, "\n"),
                            folder_.can_redo_blocks
                                ? fmt::format("build these blocks again with --redo-blocks {}",
                                              fmt::join(damaged, ","))
                                : "start over with --resume never"));
  return all;
}

std::string RunSession::numerics_classes() const {
  return fmt::format("{}", fmt::join(record_.numerics_classes, "; "));
}

void RunSession::finish() {
  dir_.finish();
  release("done");
}

void RunSession::stop(const std::string& why) { release("stopped: " + why); }

// What the run has saved is saved: a folder that cannot be given back changes nothing about it.
void RunSession::release(const std::string& outcome) {
  try {
    claim_->release(outcome);
  } catch (const ClaimError&) {
    throw;  // another process holds the folder: the run is no longer ours
  } catch (const Error& error) {
    say_(
        fmt::format("everything is saved, but {} could not be given back, so the next start looks "
                    "for a while whether this one still runs: {}",
                    folder_.path, error.what()));
  }
}

void RunSession::withdraw(const std::string& outcome) noexcept {
  try {
    claim_->withdraw(outcome);
  } catch (const std::exception&) {
    // Nothing to do: the next start watches the heartbeat for a while to see that nobody holds the
    // folder.
  }
}

// A run that this start began is marked as failed: nothing is lost. A run that was there before
// stays as it was.
void RunSession::refuse(const std::string& why) noexcept {
  if (begun_) return fail(why);
  withdraw("refused: " + why);
}

void RunSession::fail(const std::string& why) noexcept {
  if (!opened_) return withdraw("failed: " + why);
  dir_.abandon(why);
  try {
    claim_->release("failed: " + why);
  } catch (const std::exception&) {
    // As in withdraw().
  }
}

void hold_session(RunSession* session, const std::function<void()>& work) {
  try {
    with_device_errors(work);
  } catch (const AgreedStop& stop) {
    if (session != nullptr) session->stop(stop.what());
    throw;
  } catch (const ClaimError&) {
    throw;  // the folder now belongs to another process
  } catch (const CommError&) {
    throw;  // a peer is gone: another start may succeed
  } catch (const DeviceLostError&) {
    throw;  // a GPU is gone: the same
  } catch (const UsageError& error) {
    if (session != nullptr) session->refuse(error.what());
    throw;
  } catch (const std::exception& error) {
    if (session != nullptr) session->fail(error.what());
    throw;
  }
}

double work_in_session(const WorkFolder& folder, Files& files, Communicator& comm,
                       const RunControl& control,
                       const std::function<void(const std::string&)>& say,
                       const std::function<void(RunSession*)>& work) {
  std::optional<RunSession> session;
  if (comm.rank() == 0) session.emplace(folder, files, control, say);
  RunSession* const held = session ? &*session : nullptr;
  hold_session(held, [&] { work(held); });
  return held != nullptr ? held->dir().seconds_writing() : 0;
}

void finish_left_over(const std::string& work_dir, const std::string& fingerprint_json,
                      const std::function<bool(const RunState&)>& made_it, Files& files,
                      const RunControl& control,
                      const std::function<void(const std::string&)>& say) {
  try {
    if (inspect_work_dir(files, work_dir) != Occupancy::unfinished) return;
    const auto found = find_state(files, work_dir);
    if (!found) return;
    const RunState state(files, found->path);
    if (!state.has_record() || !made_it(state)) return;
    const std::string there = state.record().fingerprint_json;
    if (!fingerprint_difference(there, fingerprint_json).empty()) return;
    const auto claim = Claim::take(files, work_dir, this_process(control.host, control.job),
                                   control.claim_timing, say);
    RunDir run_dir(files, *claim);
    run_dir.resume();
    run_dir.finish();
    claim->release("done");
  } catch (const Error& error) {
    // The result is there and complete, even if something is wrong with the run folder.
    say(fmt::format("the work folder is left as it is: {}", error.what()));
  }
}

}  // namespace bitmill

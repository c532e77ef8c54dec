#pragma once
// The run folder, for the process that holds the claim. The folder is always consistent: a file is
// written under another name, synced and renamed, and a reader trusts only a file that has its
// final name and whose hashes match. Every method that writes first checks the claim: ClaimError
// when it was lost.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"
#include "checkpoint/event_log.hpp"
#include "checkpoint/run_state.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill {

// Bytes of tensors in the files of live blocks; headers do not count.
struct LiveBytes {
  int64_t largest = 0;  // in the largest file
  int64_t written = 0;  // in all files that were written, also in those that were replaced later
};

class RunDir {
 public:
  // Each tensor is produced twice: for the hashes, which are in the header, and for the data.
  static constexpr int produced_per_write = 2;

  // `claim` outlives it. `writer`: 0 for the holder of the claim; each other process that writes
  // to the folder has a number of its own (EventLog).
  RunDir(Files& files, Claim& claim, int writer = 0);

  const RunState& state() const { return state_; }
  // ClaimError when the claim was lost.
  void check() const { claim_.check(); }

  // Begins a new run: removes everything that the folder holds, then writes `record`.
  void begin(const RunRecord& record);
  // Goes on with the run in the folder: removes the unfinished files of interrupted writers, and
  // appends the lines of events() that they did not come to. For writer 0 alone.
  void resume();
  void replace_record(const RunRecord& record);

  // What happened, line by line.
  EventLog& events() { return events_; }

  // Produces every tensor produced_per_write times: all of them in the given order, then all of
  // them again. A caller whose tensors come from several ranks relies on this order.
  //
  // `event`: the line about the epoch that this state ends; empty in the middle of an epoch. It is
  // kept in the file, too: should the process die before the caller has appended the line to
  // events(), the next start does it.
  void write_live(const Progress& progress, const std::vector<TensorSource>& tensors,
                  const std::string& event = "");
  // A state that is too large for one file has parts: files of their own, which several processes
  // write. They count from the write_live() of the same steps on: so all parts of a state are
  // committed together. It must come after all of them. Produces the tensors as write_live() does.
  void write_part(int part, int64_t steps, const std::vector<TensorSource>& tensors);
  // Removes parts of states with fewer steps than `least` or more than `most`. For writer 0 alone,
  // after write_live(): parts of older states are not needed any more, and in a new start those of
  // newer ones were never committed.
  void remove_parts(int64_t least, int64_t most);
  // What write_live() and write_part() have committed so far.
  const LiveBytes& live_bytes() const { return live_bytes_; }

  // Commits a turn: on return its tensors survive a crash. Produces each of them twice. `last`:
  // this is the block's last turn, so its live state is removed. When a file of this turn was set
  // aside, the new content must be equal to it; otherwise Error naming both hashes, and nothing is
  // committed. Returns the content's hash.
  std::string write_packed(int block, int turn, bool last,
                           const std::vector<TensorSource>& tensors);

  // For --redo-blocks: moves the packed files of the block's turns [0, turns) aside, where they
  // stay until they were built again, and removes the live state.
  void set_aside(int block, int turns);

  // `block`: a block's number, or outside_blocks. The first call for it stores the hashes. Later
  // calls compare with them: UsageError naming the tensor and both hashes when one differs.
  void keep_source(int block, const TensorHashes& hashes);
  // Only compares with stored hashes, if there are any; changes nothing.
  void check_source(int block, const TensorHashes& hashes) const;

  // Writes a file of `bytes` in the same way as a block's state, reads it back and removes it: a
  // problem that would make a save fail after hours shows now. Returns the seconds of the writing.
  double rehearse_save(int64_t bytes);

  // Seconds that write_live(), write_part() and write_packed() have taken so far.
  double seconds_writing() const { return seconds_writing_; }

  // Collects the last events. Marks the run as done; then removes packed blocks, live state,
  // set-aside files, hashes of sources, kept streams and the other writers' events. No other
  // process may write to the folder any more.
  void finish();

  // For a start that failed, when starting again would not help: writes the reason to failure.json.
  // When the run has committed nothing, removes the rest of it, so that a corrected run can start.
  // Leaves a run that is done as it is.
  // Never throws: the user must see the failure itself.
  void abandon(const std::string& why) noexcept;

 private:
  void make_folders();
  void remove_unfinished(const std::string& folder);
  void remove_all();
  std::vector<std::string> events_of_live() const;
  void count_live(const std::vector<TensorSource>& tensors);
  void remove_if_there(const std::string& path);
  std::string in_state(const char* name) const;
  bool holds_files(const char* folder) const;
  nlohmann::json settings_if_known() const;

  Files& files_;
  Claim& claim_;
  RunState state_;
  EventLog events_;
  double seconds_writing_ = 0;
  LiveBytes live_bytes_;
};

// What abandon() wrote: the reason, and the run's settings, because its record may be gone. Empty
// without a failure.
struct RunFailure {
  std::string error;
  std::string fingerprint_json;
};
RunFailure read_failure(const RunState& state);

}  // namespace bitmill

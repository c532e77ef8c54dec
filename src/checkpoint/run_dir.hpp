#pragma once
// The run folder of whoever holds the claim: a folder that is always consistent. Files are written
// beside, synced and renamed; a reader trusts only what is there under its final name and whose
// hashes match. Every method asks first whether the claim still stands: ClaimError.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/claim.hpp"
#include "checkpoint/run_state.hpp"
#include "format/safetensors_writer.hpp"

namespace bitmill {

// Of files of live blocks: the bytes of their tensors, headers aside.
struct LiveBytes {
  int64_t largest = 0;  // of one file
  int64_t written = 0;  // of all of them, also of those that later ones replaced
};

class RunDir {
 public:
  // Hashes stand in a file's header, before the data.
  static constexpr int produced_per_write = 2;

  // `claim` outlives it.
  RunDir(Files& files, Claim& claim);

  const RunState& state() const { return state_; }
  // ClaimError when the folder was lost. Every method that writes asks first.
  void check() const { claim_.check(); }

  // Starts a run: whatever the folder held is removed, then `record` is written.
  void begin(const RunRecord& record);
  // Goes on with the run that is there: removes what interrupted writers left beside.
  void resume();
  void replace_record(const RunRecord& record);

  // One line of JSON, without its newline, to blocks.jsonl; flushed, not synced.
  void append_event(const std::string& json_line);
  // Blocks whose line in blocks.jsonl says "packed". Lines that were cut short are passed over.
  std::set<int> packed_events() const;

  // Every tensor is produced produced_per_write times: all of them in the order given, and then
  // again. Who produces them from several ranks counts on it.
  void write_live(const Progress& progress, const std::vector<TensorSource>& tensors);
  // What write_live() committed so far.
  const LiveBytes& live_bytes() const { return live_bytes_; }

  // Commits a turn: on return its tensors survive a crash. Each is produced twice. With the last
  // turn of a block its live state goes. Where a file of this turn was set aside, the content must
  // equal that one's: Error naming both hashes otherwise, and nothing is committed. Returns the
  // content's hash.
  std::string write_packed(int block, int turn, bool last,
                           const std::vector<TensorSource>& tensors);

  // For --redo-blocks: what the block's turns [0, turns) have packed is kept aside until it was
  // built again, and the live state goes.
  void set_aside(int block, int turns);

  // Of a block, or of outside_blocks. The first time they are kept; afterwards they must be the
  // same: UsageError naming the tensor and both hashes otherwise.
  void keep_source(int block, const TensorHashes& hashes);
  // The same question of what is kept already; changes nothing.
  void check_source(int block, const TensorHashes& hashes) const;

  // Writes a file of `bytes` as a block's state is written, reads it back and removes it: what
  // would make a save fail after hours does so now. Returns the seconds of the writing.
  double rehearse_save(int64_t bytes);

  // That this object spent writing what it commits.
  double seconds_writing() const { return seconds_writing_; }

  // Marks the run done, and removes packed blocks and live state.
  void finish();

  // For a start that failed for good: the reason, for whoever asks. When the run has committed
  // nothing, it is left as if it had never begun, so that a corrected one can start. Never throws:
  // the failure itself is what people must hear of.
  void abandon(const std::string& why) noexcept;

 private:
  void make_folders();
  void remove_unfinished(const std::string& folder);
  void remove_all();
  void remove_if_there(const std::string& path);
  std::string in_state(const char* name) const;
  bool holds_files(const char* folder) const;
  nlohmann::json settings_if_known() const;

  Files& files_;
  Claim& claim_;
  RunState state_;
  double seconds_writing_ = 0;
  LiveBytes live_bytes_;
};

// What abandon() left: the reason, and the settings of a run whose record may be gone. Empty
// without a failure.
struct RunFailure {
  std::string error;
  std::string fingerprint_json;
};
RunFailure read_failure(const RunState& state);

}  // namespace bitmill

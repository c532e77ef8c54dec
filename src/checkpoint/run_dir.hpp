#pragma once
// The work folder of a run: a folder that is always consistent. Everything is keyed by (block,
// turn, epoch, step), never by rank; only rank 0 writes. Files are written beside, synced and
// renamed; a reader trusts only what is there under its final name and whose hashes match.
//
//   run.json                 the fingerprint, written first
//   blocks.jsonl             one line per finished epoch and per finished block
//   blocks/0003.safetensors  the packed tensors of block 3, in final form
//   live/0003.safetensors    learned values and optimiser state of block 3 between two turns; its
//                            metadata says turn, epoch and step
//   DONE                     the result was assembled; only logs are left
//
// RUNDIR.md is the page of their bytes. In this version a run is not resumed: see begin().

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "format/safetensors_writer.hpp"
#include "format/tensor_folder.hpp"

namespace bitmill {

// How far a block has come: `turn`, `epoch` and `step` count what is finished.
struct Progress {
  int block = 0;
  int turns = 0;
  int epochs = 0;
  int64_t steps = 0;  // optimiser steps over the whole run of the block

  bool operator==(const Progress&) const = default;
};

// One float32 vector of a block's live state: a view, which lives longer than the call.
struct StateVector {
  std::string name;
  std::span<const float> values;
};

class RunDir {
 public:
  RunDir(Files& files, const std::string& path);

  const std::string& path() const { return path_; }

  // Whether begin() would take the folder; touches nothing. A folder that holds an unfinished run
  // is refused with UsageError unless start_over; one with files that are not a run's is refused
  // whatever start_over says (UsageError naming one of them).
  void check(bool start_over) const;

  // Starts a run where check() has nothing against it: makes the folders and writes run.json. What
  // an earlier run left is replaced.
  void begin(const std::string& fingerprint_json, bool start_over);

  // One line of JSON, without its newline; flushed, not synced.
  void append_event(const std::string& json_line);

  // Commits the block: on return its tensors survive a crash. Each is produced twice.
  void write_packed(int block, const std::vector<TensorSource>& tensors);
  // Opened and verified against the hashes in its metadata: FormatError when damaged, FileError
  // when missing.
  SafetensorsFile open_packed(int block) const;

  void write_live(const Progress& progress, const std::vector<StateVector>& vectors);
  // Replaces `vectors` (name -> values) and returns the progress. FormatError when damaged,
  // FileError when missing.
  Progress read_live(int block, std::map<std::string, std::vector<float>>& vectors) const;
  void remove_live(int block);  // nothing there is not an error

  // Marks the run done, and removes packed blocks and live state.
  void finish();

  // For a run that failed: when it has packed no block there is nothing to keep, and the folder is
  // left as if the run had never begun, so that a corrected one can start. Otherwise nothing
  // happens. Never throws: the failure is what people must hear of.
  void abandon() noexcept;

 private:
  std::string block_path(const char* folder, int block) const;
  SafetensorsFile open_block(const char* folder, int block) const;

  Files& files_;
  std::string path_;
};

}  // namespace bitmill

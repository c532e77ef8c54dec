#pragma once
// The lines of blocks.jsonl. Several processes of a job have something to say, and the file has one
// writer: on file systems without atomic appends between hosts (NFS), lines of two writers could
// overwrite each other.
//
//   <work>/blocks.jsonl                 every line; written by writer 0 alone
//   <work>/state-0007/events/0002.jsonl lines of writer 2, until the next start removes the file
//
// Writer 0 copies the lines of the others, whole lines only, while the run goes on. Lines are
// synced. What a crash left in the files of the others is copied by the next start.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "checkpoint/claim.hpp"

namespace bitmill {

class EventLog {
 public:
  // `writer`: 0 for the holder of the claim; every other process of the job has a number of its
  // own. `claim` outlives the log. One thread at a time may use a log.
  EventLog(Files& files, Claim& claim, int writer);

  // Appends a line of JSON, given without its newline. On return it survives a crash. ClaimError
  // when the claim was lost.
  void append(const std::string& json_line);

  // The next two calls are for writer 0 alone.

  // Copies what the other writers have appended since the last call.
  void collect();
  // For a start that goes on with a run: copies what the former writers left and blocks.jsonl does
  // not have, then those of `lines` that it does not have either; removes the files of the former
  // writers. Ends a line that was cut short, so that the next one begins on a line of its own.
  void take_over(const std::vector<std::string>& lines);

  // Blocks that have a line with the event "packed" in blocks.jsonl. Ignores lines that were cut
  // short.
  std::set<int> packed_blocks() const;

 private:
  std::string shared_path() const;  // blocks.jsonl
  std::string folder() const;       // of the other writers
  void write(const std::string& path, const std::string& text);

  Files& files_;
  Claim& claim_;
  const int writer_;
  std::map<std::string, int64_t> collected_;  // bytes, by path of another writer's file
};

// All lines of the run, as status shows them: those of blocks.jsonl, then those that are still in
// the files of other writers. Lines that were cut short are left out.
std::vector<std::string> read_events(Files& files, const std::string& work_dir);

}  // namespace bitmill

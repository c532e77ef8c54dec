#pragma once
// Makes sure that a run folder has one writer, without locks, on any shared file system.
//
// All state of a run lies in one folder, <work>/state-0007. The number is the generation of the
// claim. A process takes the run over with one rename, state-0007 -> state-0008, and a mark in the
// folder. When several try, one wins. After the rename the paths of the former holder do not exist
// any more, so a holder that was stopped and wakes up cannot harm its successor. The folder of a
// new run is prepared under another name, then renamed.
//
//   state-0007/holder.json   who holds it, and whether it was given back (hashed JSON)
//   state-0007/beat          a counter that moves while the holder lives
//   state-0007/taken-7       whoever made this empty folder holds generation 7; not in a new run
//
// Only that counter decides whether a holder lives: it must be seen to move twice. The taker
// watches it on its own steady clock, while the folder answers. There is one exception: a holder of
// this machine whose process is gone need not be watched.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/files.hpp"
#include "checkpoint/holder.hpp"

namespace bitmill {

// The state folder in a run folder: the one of the highest generation, if there is one.
struct StateFolder {
  int generation = 0;
  std::string path;
};
std::optional<StateFolder> find_state(Files& files, const std::string& work_dir);

// What holder.json says.
struct HolderRecord {
  Holder holder;
  bool released = false;          // given back: a taker need not watch it
  std::string outcome;            // why it was given back; empty before
  int starts_without_commit = 0;  // claims in a row, this one included, with equal steps_at_start
  int64_t steps_at_start = -1;    // progress committed when it began (RUNDIR.md); -1: not known yet
};
// Nothing when holder.json is missing or damaged: then its writer died early.
std::optional<HolderRecord> read_holder(Files& files, const std::string& state_path);

struct ClaimTiming {
  // A holder writes a beat each second. When no beat is seen for this time, it counts as dead.
  std::chrono::milliseconds stale_after{20'000};
  std::chrono::milliseconds poll{250};
  // More of one look at the counter does not count as silence: while the folder does not answer the
  // taker, its holder cannot beat, either.
  std::chrono::milliseconds longest_look{2'000};
};

// Whether the holder's counter moves. Watches it for up to timing.stale_after, longer on a folder
// that is slow to answer.
bool is_alive(Files& files, const std::string& state_path, const ClaimTiming& timing);

class Claim {
 public:
  // Makes work_dir when it is missing. UsageError, naming the holder and the age of its last beat,
  // when another process holds it. When a holder must be watched first, `say` gets a sentence about
  // it.
  static std::unique_ptr<Claim> take(Files& files, const std::string& work_dir, const Holder& me,
                                     const ClaimTiming& timing,
                                     const std::function<void(const std::string&)>& say);

  // What another process of the same job needs so that it may write under this claim, too. Each
  // file has one writer, which must call check() just like the holder. Only the holder may call
  // beat() and release().
  struct Pass {
    int generation = 0;
    std::string token;
  };
  Pass pass() const { return {generation_, record_.holder.token}; }
  // ClaimError when the claim is lost already.
  static std::unique_ptr<Claim> join(Files& files, const std::string& work_dir, const Pass& pass);

  const std::string& work_dir() const { return work_dir_; }
  const std::string& state_path() const { return state_path_; }
  int generation() const { return generation_; }
  // The record of the claim before this one, if it could be read.
  const std::optional<HolderRecord>& predecessor() const { return predecessor_; }

  // The name under which this claim writes a file before it renames it to `path`. Every claim has
  // a name of its own.
  std::string beside(const std::string& path) const;

  // ClaimError when the claim was lost. Call it before every commit.
  void check() const;
  // Moves the counter. Any thread may call it, one at a time. Remembers when the claim was lost.
  void beat();
  // Writes into the record how much progress was committed when this claim began. A finished block
  // counts 2^32, any other block its packed turns plus its steps.
  void record_start(int64_t steps_committed);
  int starts_without_commit() const { return record_.starts_without_commit; }
  // Gives the folder back: the next taker need not wait.
  void release(const std::string& outcome);
  // The same for a claim that changed nothing: it does not count as a start.
  void withdraw(const std::string& outcome);

 private:
  Claim(Files& files, std::string work_dir, const Holder& me);
  bool make_first(int generation);
  bool take_over(const StateFolder& found);
  bool mark_taken();
  void write_record();

  Files& files_;
  const std::string work_dir_;
  HolderRecord record_;
  std::optional<HolderRecord> predecessor_;
  int generation_ = 0;
  std::string state_path_;
  uint64_t beats_ = 0;
  std::atomic<bool> lost_ = false;
};

}  // namespace bitmill

#pragma once
// One writer for a run folder, without locks, on any shared file system.
//
// All state of a run lies in one folder, <work>/state-0007, whose number is the generation of the
// claim. Taking the run over is one rename, state-0007 -> state-0008: of several takers one wins,
// and from then on no path of the former holder leads anywhere, so that a holder that was stopped
// and wakes up cannot harm its successor. A new run is prepared beside and renamed to its name.
//
//   state-0007/holder.json   who holds it, and whether it was given back (hashed JSON)
//   state-0007/beat          a counter that moves while the holder lives
//
// Whether a holder lives is judged by that counter alone, watched on the taker's own steady clock;
// a holder of this machine whose process is gone needs no watching.

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

// The state folder of a work folder: the one of the highest generation, if there is one.
struct StateFolder {
  int generation = 0;
  std::string path;
};
std::optional<StateFolder> find_state(Files& files, const std::string& work_dir);

// What holder.json says.
struct HolderRecord {
  Holder holder;
  bool released = false;          // given back: nobody needs to be waited for
  std::string outcome;            // why it was given back; empty before
  int starts_without_commit = 0;  // claims in a row, this one included, that began where it began
  int64_t steps_at_start = -1;    // optimiser steps committed when it began; -1: not known yet
};
// Nothing when it is not there or damaged: its writer died early.
std::optional<HolderRecord> read_holder(Files& files, const std::string& state_path);

struct ClaimTiming {
  // A holder that writes a beat each second and shows none for this long is taken for dead.
  std::chrono::milliseconds stale_after{20'000};
  std::chrono::milliseconds poll{250};
};

// Whether the holder's counter moves: watched for up to timing.stale_after.
bool is_alive(Files& files, const std::string& state_path, const ClaimTiming& timing);

class Claim {
 public:
  // Makes work_dir where it is missing. UsageError, naming the holder and the age of its last beat,
  // when another run holds it. `say` hears a sentence when a silent holder must be watched first.
  static std::unique_ptr<Claim> take(Files& files, const std::string& work_dir, const Holder& me,
                                     const ClaimTiming& timing,
                                     const std::function<void(const std::string&)>& say);

  // What another process of the same job needs to write under this claim: every file by one
  // process, which asks check() as the holder does. Only the holder beats and releases.
  struct Pass {
    int generation = 0;
    std::string token;
  };
  Pass pass() const { return {generation_, record_.holder.token}; }
  // ClaimError when the claim does not stand any more.
  static std::unique_ptr<Claim> join(Files& files, const std::string& work_dir, const Pass& pass);

  const std::string& work_dir() const { return work_dir_; }
  const std::string& state_path() const { return state_path_; }
  int generation() const { return generation_; }
  // Of the claim that this one follows, if its record could be read.
  const std::optional<HolderRecord>& predecessor() const { return predecessor_; }

  // The name under which this claim writes what will be `path`: no two claims share one.
  std::string beside(const std::string& path) const;

  // ClaimError when the claim was lost. To be asked before every commit.
  void check() const;
  // Moves the counter; from any thread, one at a time. A claim that was lost is remembered.
  void beat();
  // Completes the record: how far the run was when it began.
  void record_start(int64_t steps_committed);
  int starts_without_commit() const { return record_.starts_without_commit; }
  // Gives the folder back; for the next taker there is nothing to wait for.
  void release(const std::string& outcome);
  // The same for a claim that changed nothing: it does not count as a start.
  void withdraw(const std::string& outcome);

 private:
  Claim(Files& files, std::string work_dir, const Holder& me);
  bool make_first(int generation);
  bool take_over(const StateFolder& found);
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

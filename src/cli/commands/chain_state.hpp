#pragma once
// The folder of a chain (`bitmill run`): which parts it has and where each keeps its run, what was
// measured, how long each part took. One file, chain.json, in a state folder that has one writer
// (checkpoint/claim.hpp); the runs of the parts lie beside, in folders of their own.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/files.hpp"
#include "checkpoint/claim.hpp"
#include "checkpoint/heartbeat.hpp"
#include "pipeline/job/run_control.hpp"

namespace bitmill {

struct ChainPart {
  std::string name;        // "preprocess", "quantize" or "tune"
  std::string output_dir;  // the folder that it makes
  std::string work_dir;    // its run folder

  bool operator==(const ChainPart&) const = default;
};

// The base of preprocess in the list of what is done: it may take as long as a part.
inline constexpr const char* base_step = "preprocess-base";

struct ChainRecord {
  std::vector<ChainPart> parts;                 // in order
  int64_t folders_to_measure = 0;               // the original and the result of each part
  std::set<std::string> done;                   // names of parts, and base_step
  std::map<std::string, std::string> measured;  // figures as JSON, by a hash of what was measured
  std::map<std::string, double> seconds;        // by part: of all starts that ended by themselves
  bool finished = false;                        // the last start came to the end
  std::string failure;  // why the last start failed, if another start would fail, too

  // How far the chain is: parts, the base of preprocess, and folders.
  int64_t steps() const { return std::ssize(done) + std::ssize(measured); }
};

// Whether the folder holds the state of a chain.
bool holds_chain(Files& files, const std::string& work_dir);
// REQUIRES: holds_chain(). FormatError names a damaged file. Paths are as this process can use
// them: those below the folder are kept relative to it, so that it may be moved.
ChainRecord read_chain(Files& files, const std::string& work_dir);

// The writer, on rank 0 alone.
class ChainState {
 public:
  // Claims the folder. What an earlier start of a chain measured is kept; the rest is `parts`.
  // Nothing of the record is written before the first call of answer(). UsageError when another
  // process holds the folder, or when it is the run folder of a single job.
  ChainState(Files& files, const std::string& work_dir, const std::vector<ChainPart>& parts,
             const RunControl& control, const std::function<void(const std::string&)>& say);

  // The run folder of a part answers: this start is not refused any more.
  void answer();
  bool answered() const { return answered_; }

  // Figures of an earlier start, or nothing.
  std::optional<std::string> measured(const std::string& what);
  const std::map<std::string, double>& seconds() const { return record_.seconds; }

  // All write the record. ClaimError when the folder was lost to another process.
  void add_measured(const std::string& what, const std::string& figures);
  // Before answer() it is written with the next change.
  void base_done();
  // `seconds` of this start; 0 where the result was there already.
  void part_done(const std::string& part, double seconds);
  // Where it cannot be written, says so and goes on: the part itself has stopped well.
  void part_stopped(const std::string& part, double seconds);

  // Each ends this start and gives the folder back; where that fails, says so and goes on.
  // finish() keeps only the figures that this start has added or asked for.
  void finish();
  void stop(const std::string& why);
  void fail(const std::string& why);

 private:
  void save();
  void release(const std::string& outcome, bool changed);

  Files& files_;
  const std::function<void(const std::string&)> say_;
  std::unique_ptr<Claim> claim_;
  std::optional<Heartbeat> heartbeat_;
  ChainRecord record_;
  std::set<std::string> used_;  // what this start has added or asked for, of record_.measured
  int64_t steps_at_start_ = 0;
  bool answered_ = false;
};

}  // namespace bitmill

#pragma once
// One start of a run, on rank 0: claims the run folder, and begins a new run in it or goes on with
// the one that is there.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/heartbeat.hpp"
#include "checkpoint/run_dir.hpp"
#include "comm/communicator.hpp"
#include "pipeline/job/preprocess_job.hpp"
#include "pipeline/job/quantize_options.hpp"
#include "pipeline/job/run_control.hpp"
#include "pipeline/job/tune_job.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// The run folder of a job, and what to do with a run that is in it. Fields as in QuantizeOptions.
struct WorkFolder {
  std::string path;
  Resume resume = Resume::automatic;
  std::vector<int> redo_blocks;
  bool can_redo_blocks = true;
  bool allow_mixed_hardware = false;
};
WorkFolder work_folder(const QuantizeOptions& options);
WorkFolder work_folder(const TuneOptions& options);
WorkFolder work_folder(const PreprocessOptions& options);

// UsageError when folder.resume does not fit what the run folder holds: a run of another
// configuration (the message has the field and both values), no run to go on with, or files of
// another kind. Touches nothing.
void check_work_dir(const WorkFolder& folder, Files& files, const std::string& fingerprint_json);

class RunSession {
 public:
  // Claims the folder. Throws the errors of Claim::take(). `say` gets messages for the user.
  RunSession(const WorkFolder& folder, Files& files, const RunControl& control,
             const std::function<void(const std::string&)>& say);

  // Begins the run of `record`, or goes on with the one that is there. `sources` are hashes of the
  // source's tensors that were read so far, by block. They are compared with those of the run, and
  // kept. UsageError, with nothing changed, when this start belongs to another run (see
  // check_work_dir()). FormatError with every damaged file of the run.
  void open(const RunRecord& record, const Plan& plan, const std::map<int, TensorHashes>& sources);

  RunDir& dir() { return dir_; }
  bool goes_on() const { return goes_on_; }  // with a run that was there before this start
  const std::vector<BlockDone>& done() const { return done_; }
  // For the other ranks that write to the folder: lets them join the claim.
  Claim::Pass pass() const { return claim_->pass(); }
  // Of all machines that worked on the run, including this one.
  std::string numerics_classes() const;

  // Each of the next four ends this start and releases the claim on the folder. Where the release
  // itself fails, finish() and stop() say so and go on.
  void finish();
  void stop(const std::string& why);             // by agreement; a later start can go on
  void refuse(const std::string& why) noexcept;  // after a UsageError of this start
  // Before open() nobody knows whether the run that is there is this start's: it stays as it was.
  void fail(const std::string& why) noexcept;

 private:
  void release(const std::string& outcome);
  void withdraw(const std::string& outcome) noexcept;
  void check(const std::map<int, TensorHashes>& sources) const;
  void go_on(const Plan& plan);
  std::vector<BlockDone> take_inventory(const Plan& plan) const;

  const WorkFolder folder_;
  Files& files_;
  const std::function<void(const std::string&)> say_;
  std::unique_ptr<Claim> claim_;
  std::unique_ptr<Heartbeat> heartbeat_;
  RunDir dir_;
  RunRecord record_;
  std::vector<BlockDone> done_;
  bool opened_ = false;  // whether open() was called
  bool begun_ = false;   // by this start
  bool goes_on_ = false;
};

// Runs `work` on a rank of the job. `session` is null except on rank 0. Where `work` throws, the
// session ends by stop(), refuse() or fail(), whichever fits the error. After a CommError, a
// DeviceLostError or a ClaimError the claim is not released: after the first two, the next start
// finds out that nobody holds the folder any more, and the run does not count as failed.
void hold_session(RunSession* session, const std::function<void()>& work);

// Collective. Rank 0 claims the folder; `work` gets the session there, and null on the other ranks.
// As hold_session(). Returns the seconds that rank 0 has spent writing state; 0 elsewhere.
double work_in_session(const WorkFolder& folder, Files& files, Communicator& comm,
                       const RunControl& control,
                       const std::function<void(const std::string&)>& say,
                       const std::function<void(RunSession*)>& work);

// For a job whose result is there already, because an earlier start committed it and then died
// before it could mark its run as done. Marks the run in work_dir as done now. Does nothing when
// there is no run of this configuration, or when `made_it` says that the run cannot have made the
// result. Throws no Error: `say` gets the message.
void finish_left_over(const std::string& work_dir, const std::string& fingerprint_json,
                      const std::function<bool(const RunState&)>& made_it, Files& files,
                      const RunControl& control,
                      const std::function<void(const std::string&)>& say);

}  // namespace bitmill

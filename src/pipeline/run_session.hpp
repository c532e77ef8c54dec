#pragma once
// One start of a run on rank 0: the work folder claimed, a new run begun in it or the one that is
// there gone on with.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "checkpoint/heartbeat.hpp"
#include "checkpoint/run_dir.hpp"
#include "pipeline/quantize.hpp"
#include "pipeline/stop_control.hpp"
#include "schedule/resume.hpp"

namespace bitmill {

// Where a run keeps its state, and what to do with one that is there: as QuantizeOptions has it.
struct WorkFolder {
  std::string path;
  Resume resume = Resume::automatic;
  std::vector<int> redo_blocks;
  bool can_redo_blocks = true;
  bool allow_mixed_hardware = false;
};
WorkFolder work_folder(const QuantizeOptions& options);

// UsageError when folder.resume does not go with what the work folder holds: another
// configuration, with the field and both values; nothing to go on with; files of another kind.
// Touches nothing.
void check_work_dir(const WorkFolder& folder, Files& files, const std::string& fingerprint_json);

class RunSession {
 public:
  // Besides the errors of check_work_dir() and of Claim::take(): FormatError with every damaged
  // file of the run. Given back then: after a UsageError with nothing changed, else as by fail().
  // `say` hears what is worth telling.
  // `sources`: hashes of what was read of the source so far, by block.
  RunSession(const WorkFolder& folder, Files& files, const RunRecord& record, const Plan& plan,
             const std::map<int, TensorHashes>& sources, const RunControl& control,
             const std::function<void(const std::string&)>& say);

  RunDir& dir() { return dir_; }
  bool goes_on() const { return goes_on_; }  // with a run that was there
  const std::vector<BlockDone>& done() const { return done_; }
  // For the other ranks that write into the folder.
  Claim::Pass pass() const { return claim_->pass(); }
  // Of all machines that worked on the run, this one included.
  std::string numerics_classes() const;

  void finish();
  void stop(const std::string& why);  // to be gone on with
  // The words of this start are at fault: a run that was there stays what it was.
  void refuse(const std::string& why) noexcept;
  void fail(const std::string& why) noexcept;

 private:
  void open(const WorkFolder& folder, const Plan& plan, const std::map<int, TensorHashes>& sources);
  void check(const WorkFolder& folder, const Plan& plan,
             const std::map<int, TensorHashes>& sources) const;
  void go_on(const WorkFolder& folder, const Plan& plan);
  std::vector<BlockDone> take_inventory(const WorkFolder& folder, const Plan& plan) const;
  void withdraw(const std::string& why) noexcept;

  Files& files_;
  std::unique_ptr<Claim> claim_;
  std::unique_ptr<Heartbeat> heartbeat_;
  RunDir dir_;
  RunRecord record_;
  std::vector<BlockDone> done_;
  bool goes_on_ = false;
};

// What rank 0 does while it holds the folder, from opening the session on, and the other ranks with
// it: `work` gets the session, null on the others. The folder is given back in the way that goes
// with the end, but after a CommError: the next start finds out that nobody holds it any more.
template <class Open, class Work>
void hold_session(bool leads, Open open, Work work) {
  std::unique_ptr<RunSession> session;
  if (leads) session = open();
  try {
    work(session.get());
  } catch (const AgreedStop& stop) {
    if (session) session->stop(stop.what());
    throw;
  } catch (const ClaimError&) {
    throw;  // nothing in the folder is ours any more
  } catch (const CommError&) {
    throw;  // a peer is gone: nothing speaks against running again
  } catch (const UsageError& error) {
    if (session) session->refuse(error.what());
    throw;
  } catch (const std::exception& error) {
    if (session) session->fail(error.what());
    throw;
  }
}

// For a job whose result was committed by a start that died before it could say so: marks the run
// of this very configuration that work_dir still holds as done. Does nothing without one, or with
// one of which `made_it` says that it did not come so far. Throws nothing of ours: `say` hears it.
void finish_left_over(const std::string& work_dir, const std::string& fingerprint_json,
                      const std::function<bool(const RunState&)>& made_it, Files& files,
                      const RunControl& control,
                      const std::function<void(const std::string&)>& say);

}  // namespace bitmill

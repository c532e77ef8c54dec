#pragma once
// Connects the ranks of a command with the watchdog: what the watchdog looks at, and how a rank
// ends when a peer is lost, silent or stuck.

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/thread_pool.hpp"
#include "cli/options/settings.hpp"
#include "comm/communicator.hpp"
#include "comm/watch/activity.hpp"
#include "comm/watch/watchdog.hpp"
#include "comm/watch/watched_communicator.hpp"

namespace bitmill {

// Seconds; 0: nothing is watched. UsageError.
int64_t read_timeout(const Settings& settings);

class Watch {
 public:
  // Collective. With one rank, or a timeout of 0 seconds, nothing is watched. `comm` and `pool`
  // must outlive this object. On all ranks: UsageError when their timeouts differ, CommError when
  // some rank cannot reach rank 0.
  Watch(Communicator& comm, const std::string& host, int64_t timeout, const ThreadPool& pool);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // The command must use this one: the watchdog counts its calls as progress.
  Communicator& comm() { return comm_; }
  Activity& activity() { return activity_; }

  // Seconds that a connection or a transfer between GPUs may take in which all take part: half of
  // the timeout, but at least 30, and at most five more than the timeout. Without one, any time.
  double transfer_patience_s() const;

  // The file in which the judge writes, as JSON, what every rank did last, before a verdict or a
  // failure ends the job. Its folder must exist. Every rank sets it, because any may become the
  // judge.
  void set_report_path(const std::string& path);

  // Tells the peers that this rank is about to end the job, so that they do not take it for lost.
  void announce_failure(int exit_code);
  // Whether this rank must report (see Watchdog). To be asked a moment after the announcement.
  bool failed_first() const;

 private:
  RankSample sample() const;
  void report(const Trouble& trouble);
  void record(const Trouble& trouble);
  std::string report_path();

  const ThreadPool& pool_;
  const std::string host_;
  const int64_t timeout_;
  WatchedCommunicator comm_;
  Activity activity_;
  std::mutex mutex_;
  std::string report_path_;           // guarded by mutex_
  std::optional<Watchdog> watchdog_;  // ends before what it looks at
};

}  // namespace bitmill

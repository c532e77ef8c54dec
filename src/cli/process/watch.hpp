#pragma once
// A command's ranks under a watchdog: what it looks at, and how a rank leaves when a peer is lost,
// silent or stuck.

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
  // outlive this. CommError, on every rank alike, when ranks cannot reach rank 0.
  Watch(Communicator& comm, const std::string& host, int64_t timeout, const ThreadPool& pool);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // To be used by the command: what it does is progress.
  Communicator& comm() { return comm_; }
  Activity& activity() { return activity_; }

  // Where the rank that judges leaves what every rank did last, as JSON, before it ends the job or
  // a failure does. Its folder exists. Every rank sets it: any may come to judge.
  void set_report_path(const std::string& path);

  // This rank is about to end the job: its peers shall not take it for lost.
  void announce_failure(int exit_code);
  // Whether this rank is the one to report: see Watchdog. A moment after the announcement.
  bool failed_first() const;

 private:
  RankSample sample() const;
  void report(const Trouble& trouble);
  void record(const Trouble& trouble);

  const ThreadPool& pool_;
  const std::string host_;
  WatchedCommunicator comm_;
  Activity activity_;
  std::mutex mutex_;
  std::string report_path_;           // guarded by mutex_
  std::optional<Watchdog> watchdog_;  // ends before what it looks at
};

}  // namespace bitmill

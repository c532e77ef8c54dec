#pragma once
// The ranks of this run: all of an MPI job, or this process alone.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/process/failure.hpp"
#include "cli/process/launch.hpp"
#include "cli/process/watch.hpp"
#include "cli/report/console.hpp"
#include "comm/communicator.hpp"
#include "comm/mpi_session.hpp"

namespace bitmill {

class LaunchSession {
 public:
  // Collective. Initialises MPI only when launch.under_mpi. UsageError when the launcher belongs to
  // another MPI than this binary (foreign_launcher()).
  explicit LaunchSession(const Launch& launch);

  Communicator& comm() { return *comm_; }
  const std::string& host() const { return host_; }
  // This rank's index among the ranks of its host.
  int host_rank() const { return mpi_ ? mpi_->host_rank() : 0; }
  // The processors of this rank divided by the number of ranks that use them.
  int default_threads() const { return default_threads_; }

  // Reports a failure in the middle of the work, also where `console` is silent, and ends all
  // ranks. Without MPI it returns the exit code. Peers are told before the end. When another rank
  // most likely failed first, this one waits until that rank, or a watchdog, has had time to
  // report. When another rank did fail first, that rank reports and ends this one too.
  int fail(const Failure& failure, Console& console, Watch& watch);

 private:
  std::optional<MpiSession> mpi_;  // destroyed last
  std::unique_ptr<Communicator> comm_;
  std::string host_;
  int default_threads_ = 1;
};

}  // namespace bitmill

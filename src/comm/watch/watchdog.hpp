#pragma once
// Finds ranks that are lost, silent or stuck, and ends the job. It has its own thread and its own
// sockets, and does not use MPI: so it works while the rank waits in a collective, and when MPI
// itself hangs.
//
// The connections form a star. In every interval each rank sends a beat to rank 0, with a progress
// counter and a few words on what it does; rank 0 sends its own beat to all. Rank 0 judges all; the
// others judge rank 0. The verdict goes to every rank that still listens.

#include <functional>
#include <memory>
#include <string>

#include "comm/communicator.hpp"
#include "comm/watch/trouble.hpp"

namespace bitmill {

// In seconds.
struct WatchdogSettings {
  double timeout = 300;       // > 0
  double interval = 1;        // between beats; well below the timeout
  double lost_grace = 0.3;    // see WatchTimes
  double failure_grace = 10;  // see WatchTimes
  double to_connect = 30;     // for every rank to reach rank 0
};

// All are called on the watchdog's thread and must not throw.
struct WatchdogCalls {
  // What this rank does now.
  std::function<RankSample()> sample;
  // Called on the rank that judges, before the others hear of the verdict: it must tell people. Not
  // called for a failure, because the rank that failed reports it itself.
  std::function<void(const Trouble&)> report;
  // Called on every rank as the last step: it must end the process. If it returns, this watchdog
  // does nothing more.
  std::function<void(const Trouble&)> leave;
  // Called on rank 0 when the first failure is announced: it must keep what every rank did last.
  std::function<void(const Trouble&)> record = [](const Trouble&) {};
};

class WatchLoop;

class Watchdog {
 public:
  // Collective, at least two ranks. `host` is this rank's. When a rank cannot reach rank 0, every
  // rank throws the CommError that says so.
  Watchdog(Communicator& comm, const WatchdogSettings& settings, const std::string& host,
           WatchdogCalls calls);
  // Says goodbye: after that this rank may end without being reported as lost. Waits for two
  // seconds at most.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Tells the others that this rank failed and is about to end the job with this exit code. Then
  // nobody reports it as lost, and a rank that is still there after failure_grace leaves with the
  // verdict `failed`. Returns when the message is sent, after two seconds at most.
  void announce_failure(int exit_code);
  // Whether this rank should report its announced failure: a job needs only one report. False when
  // another rank's failure was known before, or a lower rank failed at the same time.
  bool failed_first() const;

 private:
  std::unique_ptr<WatchLoop> loop_;
};

}  // namespace bitmill

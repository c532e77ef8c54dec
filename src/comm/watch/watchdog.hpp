#pragma once
// Finds ranks that are lost, silent or stuck, and ends the job. A thread of its own and sockets of
// its own, no MPI: it works while the rank waits in a collective, and when MPI itself hangs.
//
// A star: every rank sends rank 0 a beat per interval, with a progress counter and a word on what
// it does, and rank 0 sends its own back. Rank 0 judges all; the others judge rank 0. The verdict
// goes to every rank that still listens.

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
  // On the rank that judges, before the others hear of it: tell people. Not for a failure, which
  // its rank reports itself.
  std::function<void(const Trouble&)> report;
  // On every rank, at last: leave. If it returns, this watchdog is over.
  std::function<void(const Trouble&)> leave;
  // On rank 0, at the first failure that is announced: keep what every rank did last.
  std::function<void(const Trouble&)> record = [](const Trouble&) {};
};

class WatchLoop;

class Watchdog {
 public:
  // Collective, at least two ranks. `host` is this rank's. When a rank cannot reach rank 0, every
  // rank throws the CommError that says so.
  Watchdog(Communicator& comm, const WatchdogSettings& settings, const std::string& host,
           WatchdogCalls calls);
  // Says goodbye: from here on this rank may end without being missed. Waits for two seconds at
  // most.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // This rank failed and is about to end the job with this exit code: nobody shall report it as
  // lost, and a rank that is still there after the grace leaves as `failed`. Returns when it was
  // said, after two seconds at most.
  void announce_failure(int exit_code);
  // Of an announced failure, for the one report that a job needs: false when a peer was known to
  // fail before, or a lower rank failed at the same time.
  bool failed_first() const;

 private:
  std::unique_ptr<WatchLoop> loop_;
};

}  // namespace bitmill

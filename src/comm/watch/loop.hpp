#pragma once
// The thread of a watchdog: it receives messages, sends beats, and judges. Internal to comm.

#include <climits>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/watch/judge.hpp"
#include "comm/watch/link.hpp"
#include "comm/watch/listener.hpp"
#include "comm/watch/messages.hpp"
#include "comm/watch/watchdog.hpp"

namespace bitmill {

class WatchLoop {
 public:
  // Rank 0 gives its listener; every other rank gives its link to rank 0. Beats begin at once.
  WatchLoop(int self, const std::vector<std::string>& hosts, const WatchdogSettings& settings,
            WatchdogCalls calls, std::optional<WatchListener> listener,
            std::map<int, WatchLink> links);
  ~WatchLoop();  // sends no goodbye; call say_goodbye() before
  WatchLoop(const WatchLoop&) = delete;
  WatchLoop& operator=(const WatchLoop&) = delete;

  // Call it when all ranks have met: from then on they are judged.
  void arm();
  void announce_failure(int exit_code);
  bool failed_first() const;
  void say_goodbye();

 private:
  // What the rank's other threads ask the watchdog's thread to do.
  struct Orders {
    bool armed = false;
    bool end = false;
    bool goodbye = false;
    std::optional<int> failure;
  };

  void run();
  void serve();
  void wait(double seconds) const;
  double now();
  Orders orders() const;
  void obey(const Orders& orders);
  void accept_joining();
  void hear_all();
  void hear(int rank, const WatchMessage& message);
  void hear_failing(int from, const Failing& message);
  void beat();
  void tell_all(const WatchMessage& message, int except = -1);
  void part(double seconds);
  std::optional<Trouble> find_trouble() const;
  void wake() const;

  const int self_;
  const WatchdogSettings settings_;
  const WatchdogCalls calls_;
  Socket wake_;  // an eventfd

  mutable std::mutex mutex_;
  Orders orders_;                 // guarded by mutex_
  bool over_ = false;             // guarded: the thread has ended its loop
  bool announced_ = false;        // guarded; written by the watchdog's thread only
  bool preceded_ = false;         // guarded: another rank's failure was known before
  int lowest_failing_ = INT_MAX;  // guarded: lowest rank that announced a failure
  std::condition_variable changed_;

  // Used by the watchdog's thread only.
  RunningTime time_;
  double now_ = 0;
  RankJudge judge_;
  bool judging_ = false;
  double next_beat_ = 0;
  std::optional<WatchListener> listener_;
  std::map<int, WatchLink> links_;  // by rank
  std::optional<Trouble> verdict_;  // that another rank sent

  std::thread thread_;
};

}  // namespace bitmill

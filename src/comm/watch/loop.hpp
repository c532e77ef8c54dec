#pragma once
// The thread of a watchdog: hears, beats, judges. Internal to comm.

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
  // Rank 0 brings its listener, the others their link to rank 0. Beats begin at once.
  WatchLoop(int self, const std::vector<std::string>& hosts, const WatchdogSettings& settings,
            WatchdogCalls calls, std::optional<WatchListener> listener,
            std::map<int, WatchLink> links);
  ~WatchLoop();  // without a word, unless say_goodbye() came before
  WatchLoop(const WatchLoop&) = delete;
  WatchLoop& operator=(const WatchLoop&) = delete;

  // All ranks have met: from here on they are judged.
  void arm();
  void announce_failure(int exit_code);
  bool failed_first() const;
  void say_goodbye();

 private:
  // What the rank's own threads ask of this one.
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
  bool over_ = false;             // guarded: the thread serves no more
  bool announced_ = false;        // guarded; written by the thread alone
  bool preceded_ = false;         // guarded: another rank's failure was known before
  int lowest_failing_ = INT_MAX;  // guarded: of the ranks that announced
  std::condition_variable changed_;

  // Of the thread alone.
  RunningTime time_;
  double now_ = 0;
  RankJudge judge_;
  bool judging_ = false;
  double next_beat_ = 0;
  std::optional<WatchListener> listener_;
  std::map<int, WatchLink> links_;  // by rank
  std::optional<Trouble> verdict_;  // of another rank

  std::thread thread_;
};

}  // namespace bitmill

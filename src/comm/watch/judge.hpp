#pragma once
// How a watchdog judges, without threads, sockets or a clock: RankJudge is told what was heard and
// when, and says whether a rank is in trouble. Times are seconds on one rising clock, which comes
// from RunningTime. Internal to comm.

#include <optional>
#include <string>
#include <vector>

#include "comm/watch/trouble.hpp"

namespace bitmill {

struct WatchTimes {
  double timeout = 300;
  // Seconds between the end of a connection and the verdict. When a whole job is killed, its ranks
  // do not all die at the same moment; those that still live should not report the others.
  double lost_grace = 0.3;
  // Seconds between an announced failure and ending this rank by force.
  double failure_grace = 10;
};

// Rank 0 judges all ranks, every other rank judges rank 0. Hosts are by rank.
class RankJudge {
 public:
  RankJudge(const std::vector<std::string>& hosts, int self, const WatchTimes& times, double now);

  // A rank is judged only after its first joined(). A beat of a rank that has gone changes nothing.
  void joined(int rank, double now);
  void beat(int rank, const RankSample& sample, double now);
  void left(int rank);              // said goodbye
  void gone(int rank, double now);  // its connection ended
  // After this call the judge only decides whether the job ends by itself. When several ranks fail,
  // the first call counts.
  void failing(int rank, int exit_code, double now);

  bool is_failing() const { return failure_.has_value(); }

  std::optional<Trouble> judge(double now) const;
  // The announced failure, and what every rank did last. REQUIRES: is_failing().
  Trouble announced(double now) const;

 private:
  enum class State { absent, present, left, gone };
  struct Record {
    std::string host;
    State state = State::absent;
    RankSample last;
    double heard_at = 0;
    double moved_at = 0;
    double gone_at = 0;
  };
  struct Failure {
    int rank;
    int exit_code;
    double at;
  };

  Record& record(int rank) { return records_[static_cast<size_t>(rank)]; }
  bool judges(int rank) const { return self_ == 0 ? rank != 0 : rank == 0; }
  template <class Wanted>
  std::vector<int> ranks_that(Wanted wanted) const;
  std::optional<Trouble> find_lost(double now) const;
  std::optional<Trouble> find_silent(double now) const;
  std::optional<Trouble> find_stuck(double now) const;
  Trouble trouble(TroubleKind kind, std::vector<int> ranks, double seconds, double now) const;

  const int self_;
  const WatchTimes times_;
  std::vector<Record> records_;
  double moved_at_;  // when any rank last did something, came or left
  std::optional<Failure> failure_;
};

// A clock that counts only the time in which this process ran. A process that was stopped (a
// suspended job, a closed laptop) has heard nothing for long, but the other ranks are not the
// reason. So the time between two calls of at() counts as `longest_gap` at most.
class RunningTime {
 public:
  RunningTime(double longest_gap, double steady_now)
      : longest_gap_(longest_gap), looked_at_(steady_now) {}

  double at(double steady_now) {
    const double gap = steady_now - looked_at_;
    looked_at_ = steady_now;
    return now_ += gap < longest_gap_ ? gap : longest_gap_;
  }

 private:
  const double longest_gap_;
  double looked_at_;
  double now_ = 0;
};

}  // namespace bitmill

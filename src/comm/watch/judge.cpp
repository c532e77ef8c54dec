#include "comm/watch/judge.hpp"

#include <algorithm>
#include <utility>

namespace bitmill {

RankJudge::RankJudge(const std::vector<std::string>& hosts, int self, const WatchTimes& times,
                     double now)
    : self_(self), times_(times), moved_at_(now) {
  for (const std::string& host : hosts) records_.push_back({.host = host, .last = {}});
  joined(self, now);
}

void RankJudge::joined(int rank, double now) {
  Record& one = record(rank);
  one.state = State::present;
  one.heard_at = one.moved_at = moved_at_ = now;
}

void RankJudge::beat(int rank, const RankSample& sample, double now) {
  Record& one = record(rank);
  if (one.state != State::present) return;
  if (sample.progress != one.last.progress) one.moved_at = moved_at_ = now;
  one.last = sample;
  one.heard_at = now;
}

void RankJudge::left(int rank) { record(rank).state = State::left; }

void RankJudge::gone(int rank, double now) {
  Record& one = record(rank);
  if (one.state != State::present) return;
  one.state = State::gone;
  one.gone_at = now;
}

void RankJudge::failing(int rank, int exit_code, double now) {
  if (!failure_) failure_ = {rank, exit_code, now};
}

std::optional<Trouble> RankJudge::judge(double now) const {
  if (failure_) {
    if (now - failure_->at < times_.failure_grace) return std::nullopt;
    return announced(now);
  }
  if (auto found = find_lost(now)) return found;
  if (auto found = find_silent(now)) return found;
  return find_stuck(now);
}

Trouble RankJudge::announced(double now) const {
  Trouble found = trouble(TroubleKind::failed, {failure_->rank}, now - failure_->at, now);
  found.exit_code = failure_->exit_code;
  return found;
}

template <class Wanted>
std::vector<int> RankJudge::ranks_that(Wanted wanted) const {
  std::vector<int> ranks;
  for (size_t rank = 0; rank < records_.size(); ++rank) {
    if (wanted(static_cast<int>(rank), records_[rank])) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

std::optional<Trouble> RankJudge::find_lost(double now) const {
  const auto is_gone = [&](int rank, const Record& one) {
    return judges(rank) && one.state == State::gone;
  };
  std::vector<int> ranks = ranks_that(is_gone);
  if (ranks.empty()) return std::nullopt;
  double longest = 0;
  for (const int rank : ranks) {
    longest = std::max(longest, now - records_[static_cast<size_t>(rank)].gone_at);
  }
  if (longest < times_.lost_grace) return std::nullopt;
  return trouble(TroubleKind::lost, std::move(ranks), longest, now);
}

std::optional<Trouble> RankJudge::find_silent(double now) const {
  const auto is_silent = [&](int rank, const Record& one) {
    return judges(rank) && one.state == State::present && now - one.heard_at >= times_.timeout;
  };
  std::vector<int> ranks = ranks_that(is_silent);
  if (ranks.empty()) return std::nullopt;
  const double seconds = now - records_[static_cast<size_t>(ranks.front())].heard_at;
  return trouble(TroubleKind::silent, std::move(ranks), seconds, now);
}

std::optional<Trouble> RankJudge::find_stuck(double now) const {
  if (self_ != 0 || now - moved_at_ < times_.timeout) return std::nullopt;
  const auto is_outside = [](int, const Record& one) {
    return one.state == State::present && one.last.call.empty();
  };
  std::vector<int> ranks = ranks_that(is_outside);
  if (ranks.empty()) {
    ranks = ranks_that([](int, const Record& one) { return one.state == State::present; });
  }
  return trouble(TroubleKind::stuck, std::move(ranks), now - moved_at_, now);
}

Trouble RankJudge::trouble(TroubleKind kind, std::vector<int> ranks, double seconds,
                           double now) const {
  Trouble found{.kind = kind,
                .judge = self_,
                .ranks = std::move(ranks),
                .seconds = seconds,
                .exit_code = 0,
                .reports = {}};
  for (const int rank : ranks_that([](int, const Record& r) { return r.state != State::absent; })) {
    const Record& one = records_[static_cast<size_t>(rank)];
    found.reports.push_back({rank, one.host, one.last, now - one.heard_at, now - one.moved_at});
  }
  return found;
}

}  // namespace bitmill

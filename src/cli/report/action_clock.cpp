#include "cli/report/action_clock.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "cli/report/quantity.hpp"
#include "comm/gather.hpp"

namespace bitmill {
namespace {

double start_together(Communicator& comm, const Clock& clock) {
  comm.barrier();
  return clock();
}

TimelineRow make_row(int rank, std::vector<TimedAction> actions, double first_s, double seconds) {
  double busy = 0;
  for (TimedAction& one : actions) {
    one.begin_s -= first_s;
    one.end_s -= first_s;
    busy += one.end_s - one.begin_s;
  }
  const std::string note =
      actions.empty() ? "had nothing to do" : fmt::format("busy {:.1f} %", 100 * busy / seconds);
  return {fmt::format("rank {}", rank), note, std::move(actions)};
}

}  // namespace

ActionClock::ActionClock(Communicator& comm, Clock clock, QuantizeObserver& next)
    : ForwardingObserver(next),
      comm_(comm),
      clock_(std::move(clock)),
      origin_s_(start_together(comm_, clock_)) {}

void ActionClock::resumed(const std::vector<BlockDone>& done) {
  resumed_ = true;
  ForwardingObserver::resumed(done);
}

void ActionClock::action_begins(const Action& action) {
  const double now = clock_() - origin_s_;
  actions_.push_back({action, now, now});
  under_way_ = true;
  ForwardingObserver::action_begins(action);
}

void ActionClock::action_done(const Action& action) {
  actions_.back().end_s = clock_() - origin_s_;
  under_way_ = false;
  ForwardingObserver::action_done(action);
}

Timeline ActionClock::timeline(const std::string& title) const {
  std::vector<TimedAction> mine = actions_;
  if (under_way_) mine.back().end_s = clock_() - origin_s_;
  std::vector<std::vector<TimedAction>> all = gather_values<TimedAction>(comm_, mine);
  double first = std::numeric_limits<double>::infinity(), last = 0;
  for (const std::vector<TimedAction>& one : all) {
    if (one.empty()) continue;
    first = std::min(first, one.front().begin_s);
    last = std::max(last, one.back().end_s);
  }
  Timeline out{title, "nothing was left to do", 0, {}};
  if (last > 0) {
    out.seconds = last - first;
    out.facts = fmt::format("{}, {}; waiting for replicas of the same stage counts as work",
                            format_number_of("rank", comm_.size()), format_seconds(out.seconds));
    if (resumed_) out.facts += "; an earlier start had done some of it";
  }
  for (size_t rank = 0; rank < all.size(); ++rank) {
    out.rows.push_back(make_row(static_cast<int>(rank), std::move(all[rank]), first, out.seconds));
  }
  return out;
}

}  // namespace bitmill

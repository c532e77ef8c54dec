#include "comm/watch/loop.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <utility>

#include "base/error.hpp"

namespace bitmill {
namespace {

constexpr size_t longest_line = size_t{1} << 26;  // bytes; a verdict has a report of every rank
constexpr double seconds_to_part = 1;
constexpr auto wait_for_announcement = std::chrono::seconds(2);
// Rank 0 of a large job gets thousands of beats a second. This pause lets it handle many at a time.
constexpr double seconds_between_looks = 0.01;

int milliseconds(double seconds) {
  return static_cast<int>(std::ceil(std::max(0.0, seconds) * 1000));
}

// Blocks all signals while the watchdog's thread is made: the rank's other threads handle them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &former_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t former_;
};

}  // namespace

WatchLoop::WatchLoop(int self, const std::vector<std::string>& hosts,
                     const WatchdogSettings& settings, WatchdogCalls calls,
                     std::optional<WatchListener> listener, std::map<int, WatchLink> links)
    : self_(self),
      settings_(settings),
      calls_(std::move(calls)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      time_(std::max(2 * settings.interval, 2 * seconds_between_looks), steady_seconds()),
      judge_(hosts, self, {settings.timeout, settings.lost_grace, settings.failure_grace}, 0),
      listener_(std::move(listener)),
      links_(std::move(links)) {
  BITMILL_CHECK(wake_.get() >= 0, CommError, "the watchdog gets no eventfd from the system");
  const SignalsBlocked during_the_start;
  thread_ = std::thread([this] { run(); });
}

WatchLoop::~WatchLoop() {
  {
    const std::lock_guard lock(mutex_);
    orders_.end = true;
  }
  wake();
  thread_.join();
}

void WatchLoop::arm() {
  const std::lock_guard lock(mutex_);
  orders_.armed = true;
}

void WatchLoop::announce_failure(int exit_code) {
  std::unique_lock lock(mutex_);
  orders_.failure = exit_code;
  wake();
  changed_.wait_for(lock, wait_for_announcement, [&] { return announced_ || over_; });
}

bool WatchLoop::failed_first() const {
  const std::lock_guard lock(mutex_);
  return !preceded_ && lowest_failing_ >= self_;
}

void WatchLoop::say_goodbye() {
  const std::lock_guard lock(mutex_);
  orders_.goodbye = true;
}

void WatchLoop::wake() const {
  const uint64_t one = 1;
  // The write can only fail when the thread is awake already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

double WatchLoop::now() { return now_ = time_.at(steady_seconds()); }

WatchLoop::Orders WatchLoop::orders() const {
  const std::lock_guard lock(mutex_);
  return orders_;
}

void WatchLoop::run() {
  serve();
  links_.clear();
  const std::lock_guard lock(mutex_);
  over_ = true;
  changed_.notify_all();
}

void WatchLoop::serve() {
  while (true) {
    const Orders asked = orders();
    if (asked.end) {
      if (asked.goodbye) tell_all(Goodbye{});
      return part(asked.goodbye ? seconds_to_part : 0);
    }
    now();
    obey(asked);
    accept_joining();
    hear_all();
    if (now_ >= next_beat_) beat();
    if (const auto trouble = find_trouble()) {
      const bool is_verdict = trouble->kind != TroubleKind::failed;
      if (is_verdict && !verdict_) calls_.report(*trouble);
      if (is_verdict && (!verdict_ || self_ == 0)) {
        tell_all(Verdict{*trouble});
        part(seconds_to_part);
      }
      return calls_.leave(*trouble);
    }
    wait(next_beat_ - now_);
  }
}

void WatchLoop::obey(const Orders& orders) {
  if (orders.armed && !judging_) {
    judging_ = true;
    // Their times begin now: before, the ranks were still connecting.
    for (const auto& [rank, link] : links_) {
      if (link.open()) judge_.joined(rank, now_);
    }
  }
  if (!orders.failure || announced_) return;
  const bool preceded = judge_.is_failing();
  if (!preceded) hear_failing(self_, {self_, *orders.failure});
  const std::lock_guard lock(mutex_);
  preceded_ = preceded;
  announced_ = true;
  changed_.notify_all();
}

void WatchLoop::wait(double seconds) const {
  std::vector<pollfd> waiting = {{wake_.get(), POLLIN, 0}};
  // First a short pause, which only an order can end.
  if (::poll(waiting.data(), 1, milliseconds(std::min(seconds, seconds_between_looks))) != 0) {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
    return;
  }
  if (listener_) listener_->add_to(waiting);
  for (const auto& [rank, link] : links_) {
    if (!link.open()) continue;
    const short writing = link.has_unsent() ? POLLOUT : 0;
    waiting.push_back({link.descriptor(), static_cast<short>(POLLIN | writing), 0});
  }
  ::poll(waiting.data(), waiting.size(), milliseconds(seconds - seconds_between_looks));
}

void WatchLoop::accept_joining() {
  if (!listener_) return;
  for (auto& [rank, link] : listener_->accept_ranks(now_)) {
    links_[rank] = std::move(link);
    judge_.joined(rank, now_);
  }
  if (listener_->closed()) listener_.reset();
}

void WatchLoop::hear_all() {
  for (auto& [rank, link] : links_) {
    if (!link.open()) continue;
    link.flush();
    try {
      for (const std::string& line : link.receive(longest_line)) hear(rank, parse_line(line));
    } catch (const FormatError&) {
      link = WatchLink();  // a watchdog of this job never sends such a line
    }
    if (!link.open()) judge_.gone(rank, now_);
  }
}

void WatchLoop::hear(int rank, const WatchMessage& message) {
  if (const auto* const beat = std::get_if<Beat>(&message)) {
    judge_.beat(rank, beat->sample, now_);
  } else if (std::holds_alternative<Goodbye>(message)) {
    judge_.left(rank);
    links_[rank] = WatchLink();
  } else if (const auto* const failing = std::get_if<Failing>(&message)) {
    hear_failing(rank, *failing);
  } else if (const auto* const verdict = std::get_if<Verdict>(&message)) {
    if (!verdict_) verdict_ = verdict->trouble;
  }
}

void WatchLoop::hear_failing(int from, const Failing& message) {
  const bool first = !judge_.is_failing();
  judge_.failing(message.rank, message.exit_code, now_);
  {
    const std::lock_guard lock(mutex_);
    lowest_failing_ = std::min(lowest_failing_, message.rank);
  }
  if (self_ == 0 || from == self_) tell_all(message, from);
  if (self_ == 0 && first) calls_.record(judge_.announced(now_));
}

void WatchLoop::beat() {
  next_beat_ = now_ + settings_.interval;
  const RankSample sample = calls_.sample();
  judge_.beat(self_, sample, now_);
  const std::string line = to_line(Beat{sample});
  for (auto& [rank, link] : links_) {
    // A peer that does not read gets no further beats.
    if (link.open() && !link.has_unsent()) link.send(line);
  }
}

void WatchLoop::tell_all(const WatchMessage& message, int except) {
  const std::string line = to_line(message);
  for (auto& [rank, link] : links_) {
    if (link.open() && rank != except) link.send(line);
  }
}

std::optional<Trouble> WatchLoop::find_trouble() const {
  if (!judging_) return std::nullopt;
  // An announced failure is more important than a verdict: it has an exit code of its own.
  if (verdict_ && !judge_.is_failing()) return verdict_;
  return judge_.judge(now_);
}

// Ends every connection so that what was sent last arrives. When a socket is closed with unread
// data, the system may throw away what it sent. So: send everything, say that this is the end, and
// read until the peer closes.
void WatchLoop::part(double seconds) {
  const double deadline = steady_seconds() + seconds;
  std::vector<pollfd> waiting;
  while (steady_seconds() < deadline) {
    waiting.clear();
    for (auto& [rank, link] : links_) {
      link.flush();
      if (!link.has_unsent()) link.end_sending();
      link.receive(longest_line);
      if (!link.open()) continue;
      const short writing = link.has_unsent() ? POLLOUT : 0;
      waiting.push_back({link.descriptor(), static_cast<short>(POLLIN | writing), 0});
    }
    if (waiting.empty()) return;
    ::poll(waiting.data(), waiting.size(), milliseconds(deadline - steady_seconds()));
  }
}

}  // namespace bitmill

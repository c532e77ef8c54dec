#include "cli/process/stop_signals.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "base/error.hpp"
#include "cli/process/failure.hpp"

namespace bitmill {
namespace {

struct StopSignal {
  int number;
  const char* name;
};
constexpr std::array<StopSignal, 5> stop_signals = {{{SIGTERM, "SIGTERM"},
                                                     {SIGINT, "SIGINT"},
                                                     {SIGHUP, "SIGHUP"},
                                                     {SIGUSR1, "SIGUSR1"},
                                                     {SIGUSR2, "SIGUSR2"}}};

constexpr int64_t same_wish_ms = 1000;

// A signal handler uses only these. They must be lock-free, and are.
std::atomic<int> first_signal = 0;
std::atomic<int64_t> first_at_ms = 0;  // on the monotonic clock; 0 until it is known
std::atomic<int> wake_descriptor = -1;
std::array<struct sigaction, stop_signals.size()> former_actions;
struct sigaction former_pipe_action;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free);

int64_t monotonic_ms() {
  timespec now = {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

void wake() {
  const uint64_t one = 1;
  // This can fail only when the thread was woken before.
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor, &one, sizeof one);
}

// Only async-signal-safe calls.
void note_signal(int number) {
  const int saved = errno;
  int none = 0;
  if (first_signal.compare_exchange_strong(none, number)) {
    first_at_ms = monotonic_ms();
    wake();
  } else if (first_at_ms != 0 && monotonic_ms() - first_at_ms >= same_wish_ms) {
    constexpr std::string_view words = "bitmill: a second signal: leaving at once\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, words.data(), words.size());
    ::_exit(exit_code::stopped);
  }
  errno = saved;
}

std::string name_of(int number) {
  for (const StopSignal& signal : stop_signals) {
    if (signal.number == number) return signal.name;
  }
  return "";
}

// Not to be called in the handler, which may have interrupted another print.
void announce(const std::string& who, const std::string& what_follows) {
  // On a terminal the line of progress does not end with a newline.
  const char* const line_end = ::isatty(STDERR_FILENO) == 1 ? "\n" : "";
  std::fputs(fmt::format(
                 "{}bitmill: {}{}{}: {}; send a signal again, a second or more from now, to end at "
                 "once\n",
                 line_end, who, who.empty() ? "" : ": ", name_of(first_signal), what_follows)
                 .c_str(),
             stderr);
  std::fflush(stderr);
}

std::string system_words() { return std::generic_category().message(errno); }

}  // namespace

void StopSignals::listen(const std::string& who, const std::string& what_follows) {
  BITMILL_CHECK(wake_descriptor == -1, Error, "something listens to the stop signals already");
  wake_descriptor = ::eventfd(0, EFD_CLOEXEC);
  BITMILL_CHECK(wake_descriptor != -1, Error, fmt::format("eventfd: {}", system_words()));
  listening_ = true;
  first_signal = 0;
  first_at_ms = 0;
  announcer_ = std::thread([this, who, what_follows, descriptor = wake_descriptor.load()] {
    uint64_t count = 0;
    while (::read(descriptor, &count, sizeof count) < 0 && errno == EINTR) {
    }
    if (first_signal != 0) announce(who, what_follows);
  });

  struct sigaction action = {};
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;  // system calls, ours and libraries', do not end early
  ::sigemptyset(&action.sa_mask);
  for (size_t at = 0; at < stop_signals.size(); ++at) {
    const int number = stop_signals[at].number;
    ::sigaction(number, &action, &former_actions[at]);
    // Under nohup, a job outlives its terminal.
    if (number == SIGHUP && former_actions[at].sa_handler == SIG_IGN) ::signal(SIGHUP, SIG_IGN);
  }
  // The terminal that hangs up often takes with it a program that our output goes to.
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &former_pipe_action);
}

StopSignals::~StopSignals() {
  if (!listening_) return;
  for (size_t at = 0; at < stop_signals.size(); ++at) {
    ::sigaction(stop_signals[at].number, &former_actions[at], nullptr);
  }
  ::sigaction(SIGPIPE, &former_pipe_action, nullptr);
  wake();
  announcer_.join();
  ::close(wake_descriptor.exchange(-1));
}

bool StopSignals::wanted() const { return listening_ && first_signal != 0; }

std::string StopSignals::reason() const { return wanted() ? name_of(first_signal) : ""; }

void take_file_limits_as_errors() { ::signal(SIGXFSZ, SIG_IGN); }

}  // namespace bitmill

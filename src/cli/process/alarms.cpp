#include "cli/process/alarms.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/error.hpp"
#include "cli/process/failure.hpp"

namespace bitmill {
namespace {

// Added to the timeout, which is meant for ranks that run: loading the program takes time too.
constexpr auto time_to_start = std::chrono::seconds(5);
// Ranks that wait for the same rank would all report at once. So they do it one after another: when
// the first one ends, the launcher ends the others.
constexpr auto pause_per_rank = std::chrono::milliseconds(300);
constexpr int longest_pause = 10;  // ranks

void leave(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  ::_exit(exit_code::stopped);
}

}  // namespace

StartAlarm::StartAlarm(const Launch& launch, int64_t seconds)
    : StartAlarm(launch, seconds, leave) {}

StartAlarm::StartAlarm(const Launch& launch, int64_t seconds,
                       std::function<void(const std::string&)> ring) {
  if (!launch.under_mpi || seconds == 0) return;
  thread_ =
      std::thread([this, launch, seconds, ring = std::move(ring)] { wait(launch, seconds, ring); });
}

void StartAlarm::stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StartAlarm::wait(const Launch& launch, int64_t seconds,
                      const std::function<void(const std::string&)>& ring) {
  const auto patience = std::chrono::seconds(seconds) + time_to_start +
                        pause_per_rank * std::min(launch.rank, longest_pause);
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, patience, [&] { return stopped_; })) return;
  ring(fmt::format(
      "bitmill: rank {} of {}: the ranks have not all started in {} s (--timeout): one is missing, "
      "stands still or cannot be reached. Nothing was begun; run the same command again, with a "
      "longer --timeout if ranks need longer to start here\n",
      launch.rank, launch.ranks, seconds));
}

void end_process_in(int64_t seconds) {
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGKILL;
  timer_t timer = {};
  itimerspec when = {};
  when.it_value.tv_sec = static_cast<time_t>(seconds);
  const bool started = ::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
                       ::timer_settime(timer, 0, &when, nullptr) == 0;
  BITMILL_CHECK(started, Error,
                "the system gives no timer: " + std::generic_category().message(errno));
}

}  // namespace bitmill

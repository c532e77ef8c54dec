#include "cli/process/kill_timer.hpp"

#include <signal.h>
#include <time.h>

#include <cerrno>
#include <system_error>

#include "base/error.hpp"

namespace bitmill {

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

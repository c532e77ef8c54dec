#include "cli/process/launch_session.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "base/error.hpp"
#include "cli/process/affinity.hpp"
#include "comm/self_communicator.hpp"

namespace bitmill {
LaunchSession::LaunchSession(const Launch& launch) : host_(host_name()) {
  if (launch.under_mpi) mpi_.emplace();
  comm_ = mpi_ ? mpi_->world() : self_communicator();
  const std::string foreign =
      mpi_ ? foreign_launcher(launch, comm_->size(), MpiSession::library()) : "";
  BITMILL_CHECK(foreign.empty(), UsageError, foreign);
  const auto places = gather_places(*comm_, {host_, read_affinity()});
  default_threads_ = bitmill::default_threads(places, comm_->rank());
}

int LaunchSession::fail(const Failure& failure, Console& console, Watch& watch) {
  if (!failure.from_peer) watch.announce_failure(failure.exit_code);
  if (mpi_) {
    std::this_thread::sleep_for(
        std::chrono::duration<double>(seconds_before_report(failure, comm_->rank())));
  }
  if (failure.from_peer) watch.announce_failure(failure.exit_code);
  // An abort takes seconds to reach a rank that listens to signals. This wait is longer than the
  // time that a watchdog gives the reporting rank. If this rank still lives afterwards, nobody else
  // will end it.
  if (!watch.failed_first()) std::this_thread::sleep_for(std::chrono::seconds(15));
  std::string text = failure_text(failure, rank_name(comm_->rank(), comm_->size()));
  // Of what other ranks or hardware did, the place says more than the call that found out.
  if (mpi_ && (failure.from_peer || failure.alone)) {
    text += fmt::format("; rank {} on {} was in {}", comm_->rank(), host_, watch.activity().text());
  }
  text += "\n";
  console.say(text);
  if (console.silent()) std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  if (mpi_) MpiSession::abort(failure.exit_code);
  return failure.exit_code;
}

}  // namespace bitmill

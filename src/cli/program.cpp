#include "cli/program.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <climits>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/thread_pool.hpp"
#include "cli/commands/command.hpp"
#include "cli/commands/invocation.hpp"
#include "cli/process/alarms.hpp"
#include "cli/process/failure.hpp"
#include "cli/process/launch.hpp"
#include "cli/process/launch_session.hpp"
#include "cli/process/shared_memory.hpp"
#include "cli/process/stop_signals.hpp"
#include "cli/report/console.hpp"
#include "comm/mpi_session.hpp"

namespace bitmill {
namespace {

constexpr int64_t seconds_to_part = 5;
constexpr int64_t most_threads = 4096;

// libtorch uses one thread in each of our threads. With more, the way it divides work, and so the
// result, would depend on their number.
void keep_libtorch_single_threaded() { at::set_num_threads(1); }

int report(Console& console, const Failure& failure) {
  console.say(failure_text(failure, ""));
  return failure.exit_code;
}

int answer(Console& console, const std::vector<std::string>& words) {
  const Answer text = answer_about_itself(words);
  if (text.wanted) {
    console.print(text.text);
    return exit_code::done;
  }
  console.say(text.text);
  return exit_code::usage;
}

// Prints a failure that all ranks agreed on.
int report_once(Console& console, const Failure& failure) {
  console.say(failure.message);
  return failure.exit_code;
}

int run_command(Command& command, RunContext& context, LaunchSession& session) {
  auto failure = failure_of([&] { command.run(context); });
  const auto agreed_stop = [&] {
    return failure && failure->exit_code == exit_code::stopped && !failure->alone;
  };
  if (!failure || agreed_stop()) {
    // Either all ranks succeed, or all agree on a stop. So all come here and end the watch
    // together.
    if (const auto broken = failure_of([&] { context.comm.barrier(); })) failure = broken;
  }
  if (!failure) return exit_code::done;
  if (agreed_stop()) {
    context.console.say(fmt::format("bitmill: {}", failure->message));
    return exit_code::stopped;
  }
  return session.fail(*failure, context.console, context.watch);
}

// What the user asked for, or why that cannot be read. Every rank reads it before it knows the
// others; a failure is kept here until they can be told.
struct Request {
  Invocation invocation;
  int64_t timeout = 0;  // seconds; 0: nobody is watched
  std::optional<Failure> failure;
};

Request read_request(const std::vector<std::string>& words) {
  Request request;
  request.failure = failure_of([&] {
    request.invocation = read_invocation(*posix_files(), words);
    if (!request.invocation.entry->watched) return;
    request.timeout = read_timeout(request.invocation.settings);
  });
  return request;
}

// Ends a step of the start on all ranks: either all go on, or all leave with the exit code that is
// returned. A failure is printed once, and no rank waits for one that has left.
std::optional<int> leave_together(LaunchSession& session, Communicator& comm, Console& console,
                                  const std::optional<Failure>& mine) {
  const auto failure = agree_on_failure(comm, mine, session.host());
  if (!failure) return std::nullopt;
  return report_once(console, *failure);
}

// Checks what was asked for, then does it.
int check_and_run(const Request& request, LaunchSession& session, const StopSignals& stop,
                  Files& files, ThreadPool& pool, Watch& watch) {
  Console console = standard_console(session.comm().rank());
  std::unique_ptr<Command> command;
  watch.activity().set("checking what was asked for");
  std::optional<int> code;
  // Fails only when communication fails. When a peer is lost, the watchdog reports it.
  const auto broken = failure_of([&] {
    const LeastResources least = gather_least_resources(watch.comm(), session.host(), pool.size());
    const auto mine = failure_of([&] {
      command = request.invocation.entry->make(files, request.invocation.settings);
      command->check({files, session.comm().size(), pool.size(), least});
    });
    code = leave_together(session, watch.comm(), console, mine);
  });
  if (broken) return session.fail(*broken, console, watch);
  if (code) return *code;
  watch.activity().set("beginning");
  RunContext context{files, watch.comm(),     pool,  console,
                     stop,  watch.activity(), watch, session.host_rank()};
  return run_command(*command, context, session);
}

int carry_out(const Request& request, LaunchSession& session, const StopSignals& stop,
              StartAlarm& alarm) {
  Console console = standard_console(session.comm().rank());
  const std::unique_ptr<Files> files = posix_files();
  int threads = 1;
  auto mine = request.failure;
  if (!mine) {
    mine = failure_of([&] {
      threads = static_cast<int>(request.invocation.settings.whole_or(
          "threads", session.default_threads(), 1, most_threads));
    });
  }
  if (const auto code = leave_together(session, session.comm(), console, mine)) return *code;
  ThreadPool pool(threads, keep_libtorch_single_threaded);
  // The watch begins before the checks, which may read for minutes.
  std::optional<Watch> watch;
  mine = failure_of([&] { watch.emplace(session.comm(), session.host(), request.timeout, pool); });
  if (const auto code = leave_together(session, session.comm(), console, mine)) return *code;
  alarm.stop();
  const int code = check_and_run(request, session, stop, *files, pool, *watch);
  // The watch has ended. Ranks now wait for each other in MPI_Finalize, so a rank that hangs there
  // needs a time limit.
  if (session.comm().size() > 1 && request.timeout > 0) {
    end_process_in(request.timeout + seconds_to_part);
  }
  return code;
}

// Before MPI begins, which says little when it dies.
void look_at_host(const Launch& launch) {
  if (!launch.under_mpi) return;
  check_shared_memory(shared_memory_need(process_environment(), MpiSession::library()),
                      *posix_files());
}

int begin(const std::vector<std::string>& words) {
  take_file_limits_as_errors();
  const Launch launch = read_launch(process_environment());
  // MPI does not run yet: the rank is the one that the launcher says.
  Console console = standard_console(launch.rank);
  if (asks_about_itself(words)) {
    int code = exit_code::done;
    const auto failure = failure_of([&] { code = answer(console, words); });
    return failure ? report(console, *failure) : code;
  }
  keep_libtorch_single_threaded();
  load_kernels_at_start(launch);
  const Request request = read_request(words);
  // Listen before the ranks meet: if a signal ended a rank while it starts, this would look like a
  // failure.
  StopSignals stop;
  if (!request.failure && request.invocation.entry->stops_on_signals) {
    stop.listen(rank_name(launch.rank, launch.ranks), request.invocation.entry->after_signal);
  }
  Console own(stderr, stdout, false);  // for what only this rank can tell
  if (const auto failure = failure_of([&] { look_at_host(launch); })) return report(own, *failure);
  StartAlarm alarm(launch, request.timeout);
  std::optional<LaunchSession> session;
  if (const auto failure = failure_of([&] { session.emplace(launch); })) {
    // A wrong launch is the same on every rank, so rank 0 alone prints it. Any other failure is
    // this rank's own.
    return report(failure->exit_code == exit_code::usage ? console : own, *failure);
  }
  return carry_out(request, *session, stop, alarm);
}

}  // namespace

int run_program(const std::vector<std::string>& words) noexcept {
  int code = exit_code::failed;
  if (const auto failure = failure_of([&] { code = begin(words); })) {
    std::fprintf(stderr, "%s\n", failure_text(*failure, "").c_str());
    return failure->exit_code;
  }
  return code;
}

}  // namespace bitmill

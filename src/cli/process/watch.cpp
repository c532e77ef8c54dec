#include "cli/process/watch.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <future>
#include <limits>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/work_count.hpp"
#include "cli/process/failure.hpp"
#include "cli/report/quantity.hpp"
#include "cli/report/trouble_report.hpp"
#include "comm/gather.hpp"

namespace bitmill {
namespace {

constexpr int64_t default_timeout = 300;
constexpr auto time_for_the_file = std::chrono::seconds(2);

// A file system that hangs may be the cause of the trouble. The job must end all the same.
void write_in_time(const std::string& path, const std::string& text) {
  std::packaged_task<std::string()> task([path, text] {
    const auto failure = failure_of([&] { replace_file(*posix_files(), path, text); });
    return failure ? failure->message : "";
  });
  std::future<std::string> problem = task.get_future();
  std::thread(std::move(task)).detach();
  const bool done = problem.wait_for(time_for_the_file) == std::future_status::ready;
  const std::string words = done ? problem.get() : fmt::format("{} cannot be written now", path);
  if (!words.empty()) std::fprintf(stderr, "bitmill: %s\n", words.c_str());
}

// When rank 0 is lost, every other rank finds out by itself. Rank 1 reports and ends within a
// second. A launcher then ends the job; mpirun needs another second for it. The other ranks report
// only when the launcher does not do that, or rank 1 is lost too.
void wait_for_turn(const Trouble& trouble) {
  if (trouble.judge <= 1) return;
  constexpr double for_rank_1 = 3, for_lower_ranks = 0.2;
  const double seconds = for_rank_1 + for_lower_ranks * std::min(trouble.judge - 2, 10);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// Ends the process at once: the rank's own thread may never come back from MPI. What it has
// committed is safe, no matter when a process ends.
[[noreturn]] void leave_at_once(const Trouble& trouble) {
  ::_exit(trouble.kind == TroubleKind::failed ? trouble.exit_code : exit_code::stopped);
}

// Whether there is a watchdog depends on the timeout, and all ranks must begin it together.
void check_same_timeout(Communicator& comm, int64_t timeout) {
  const std::vector<int64_t> all = gather_value(comm, timeout);
  for (size_t rank = 1; rank < all.size(); ++rank) {
    BITMILL_CHECK(all[rank] == all[0], UsageError,
                  fmt::format("--timeout is {} s on rank {} and {} s on rank 0; give all ranks the "
                              "same",
                              all[rank], rank, all[0]));
  }
}

}  // namespace

int64_t read_timeout(const Settings& settings) {
  if (!settings.has("timeout")) return default_timeout;
  try {
    return parse_seconds(settings.text_or("timeout", ""));
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}: {}", settings.origin("timeout"), error.what()));
  }
}

Watch::Watch(Communicator& comm, const std::string& host, int64_t timeout, const ThreadPool& pool)
    : pool_(pool), host_(host), timeout_(timeout), comm_(comm) {
  check_same_timeout(comm, timeout);
  if (comm.size() == 1 || timeout == 0) return;
  WatchdogSettings settings;
  settings.timeout = static_cast<double>(timeout);
  settings.interval = std::min(settings.interval, settings.timeout / 10);
  watchdog_.emplace(
      comm, settings, host,
      WatchdogCalls{[this] { return sample(); },
                    [this](const Trouble& trouble) { report(trouble); }, leave_at_once,
                    [this](const Trouble& trouble) { record(trouble); }});
}

double Watch::transfer_patience_s() const {
  constexpr double shortest = 30;  // to begin, NCCL takes seconds
  if (timeout_ == 0) return std::numeric_limits<double>::infinity();
  const auto timeout = static_cast<double>(timeout_);
  return std::min(std::max(shortest, timeout / 2), timeout + 5);
}

void Watch::set_report_path(const std::string& path) {
  const std::lock_guard lock(mutex_);
  report_path_ = path;
}

void Watch::announce_failure(int exit_code) {
  if (watchdog_) return watchdog_->announce_failure(exit_code);
  if (comm_.size() > 1) return;  // --timeout 0: this rank knows nothing of the others
  record({.kind = TroubleKind::failed,
          .judge = 0,
          .ranks = {0},
          .seconds = 0,
          .exit_code = exit_code,
          .reports = {{0, host_, sample(), 0, 0}}});
}

bool Watch::failed_first() const { return !watchdog_ || watchdog_->failed_first(); }

RankSample Watch::sample() const {
  return {pool_.tasks_done() + file_transfers() + work_counted() + comm_.calls_done(),
          activity_.text(), comm_.call_under_way()};
}

void Watch::report(const Trouble& trouble) {
  wait_for_turn(trouble);
  std::fputs(describe_trouble(trouble, !report_path().empty()).c_str(), stderr);
  std::fflush(stderr);
  record(trouble);
}

void Watch::record(const Trouble& trouble) {
  const std::string path = report_path();
  if (!path.empty()) write_in_time(path, trouble_json(trouble));
}

std::string Watch::report_path() {
  const std::lock_guard lock(mutex_);
  return report_path_;
}

}  // namespace bitmill

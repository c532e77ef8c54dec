#pragma once
// How a command ends when it fails, and how ranks agree on it.

#include <exception>
#include <functional>
#include <optional>
#include <string>

#include "comm/communicator.hpp"

namespace bitmill {

namespace exit_code {
inline constexpr int done = 0;
inline constexpr int failed = 1;
inline constexpr int usage = 2;
inline constexpr int stopped = 75;  // state committed, worth running again (EX_TEMPFAIL)
}  // namespace exit_code

struct Failure {
  int exit_code = exit_code::failed;
  std::string message;     // for people; may have several lines
  bool from_peer = false;  // communication failed: most likely because another rank failed first
  bool alone = false;      // exit code 75, but this rank leaves without the others: its GPU is lost
};

// For any exception: ours, libtorch's (without its stack trace), the standard library's.
Failure describe_failure(const std::exception_ptr& error);

// Runs `step`. The failure that it throws, or nothing.
std::optional<Failure> failure_of(const std::function<void()>& step);

// "bitmill: error: ...". With several ranks it also names the rank that failed, and its host.
std::string failure_text(const Failure& failure, const std::string& rank_and_host);

// Collective. Every rank passes its own failure, or nothing. All get the same result, ready to
// print: each different failure (eight at most) with the first rank that has it, and the exit code
// of the first. When all ranks failed alike, no rank is named.
std::optional<Failure> agree_on_failure(Communicator& comm, const std::optional<Failure>& mine,
                                        const std::string& host);

// Seconds that a rank waits before it reports a failure and ends the job. Ranks often fail alike at
// the same time, and the failure of one rank breaks the communication of the others. The rank that
// waits least reports, and its abort ends the others before they report too.
double seconds_before_report(const Failure& failure, int rank);

}  // namespace bitmill

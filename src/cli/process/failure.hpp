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
  bool from_peer = false;  // communication broke: most likely because another rank failed first
};

// Of any exception: ours, libtorch's (without its stack), the standard library's.
Failure describe_failure(const std::exception_ptr& error);

// What `step` throws, if anything.
std::optional<Failure> failure_of(const std::function<void()>& step);

// "bitmill: error: ...", and with several ranks the one that failed and its host.
std::string failure_text(const Failure& failure, const std::string& rank_and_host);

// Collective. Every rank hands in what happened to it; all get the same answer, ready to print:
// every different failure (eight at most) with the first rank that has it, and the first one's exit
// code. When all ranks failed alike, no rank is named.
std::optional<Failure> agree_on_failure(Communicator& comm, const std::optional<Failure>& mine,
                                        const std::string& host);

// Seconds that a rank waits before it reports a failure and ends the job. Ranks often fail alike at
// the same time, and a peer's failure shows as broken communication elsewhere; the rank that waits
// least speaks, and its abort ends the others before they do.
double seconds_before_report(const Failure& failure, int rank);

}  // namespace bitmill

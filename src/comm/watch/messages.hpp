#pragma once
// The messages between watchdogs: one JSON object per line. Internal to comm.

#include <string>
#include <variant>

#include "comm/watch/trouble.hpp"

namespace bitmill {

// The first message of a rank that connects to rank 0.
struct Hello {
  std::string token;
  int rank = 0;
};
// Rank 0's answer. Its token shows the other rank that it reached rank 0 of its own job.
struct Welcome {
  std::string token;
};
struct Beat {
  RankSample sample;
};
// The rank ends its connection on purpose: it is not lost.
struct Goodbye {};
// The job is about to end with this exit code, because of this rank.
struct Failing {
  int rank = 0;
  int exit_code = 0;
};
// Rank 0's decision about any ranks, or another rank's decision about rank 0. The rank that it is
// about gets it, too: a process that was stopped and wakes up must learn it, and must not report
// the ranks that have left.
struct Verdict {
  Trouble trouble;
};

using WatchMessage = std::variant<Hello, Welcome, Beat, Goodbye, Failing, Verdict>;

// The message as a line, with its line end. Bytes that are not UTF-8 are replaced.
std::string to_line(const WatchMessage& message);
// The message of a line without its line end. FormatError for anything that to_line() does not
// make.
WatchMessage parse_line(const std::string& line);

}  // namespace bitmill

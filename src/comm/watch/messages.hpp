#pragma once
// What watchdogs say to each other: one JSON object per line. Internal to comm.

#include <string>
#include <variant>

#include "comm/watch/trouble.hpp"

namespace bitmill {

// A rank connects to rank 0's listener.
struct Hello {
  std::string token;
  int rank = 0;
};
// Rank 0's answer, by which the other knows whom it reached.
struct Welcome {
  std::string token;
};
struct Beat {
  RankSample sample;
};
// The end of a connection that is nobody's loss.
struct Goodbye {};
// The job is about to end with this exit code, because of this rank.
struct Failing {
  int rank = 0;
  int exit_code = 0;
};
// Rank 0's decision about anybody, or another's about rank 0: one that was stopped and wakes up
// must learn that it was given up, and not accuse those that left.
struct Verdict {
  Trouble trouble;
};

using WatchMessage = std::variant<Hello, Welcome, Beat, Goodbye, Failing, Verdict>;

// With its line end. Bytes that are not UTF-8 are replaced.
std::string to_line(const WatchMessage& message);
// Of a line without its end. FormatError for anything that to_line does not make.
WatchMessage parse_line(const std::string& line);

}  // namespace bitmill

#pragma once
// While an object lives, a write to a pipe that nobody reads any more fails with an error, as it
// does for a terminal that went away, and does not end the process.

#include <csignal>

namespace bitmill {

class BrokenPipeIsAnError {
 public:
  BrokenPipeIsAnError() : former_(std::signal(SIGPIPE, SIG_IGN)) {}
  ~BrokenPipeIsAnError() { std::signal(SIGPIPE, former_); }
  BrokenPipeIsAnError(const BrokenPipeIsAnError&) = delete;
  BrokenPipeIsAnError& operator=(const BrokenPipeIsAnError&) = delete;

 private:
  void (*former_)(int);
};

}  // namespace bitmill

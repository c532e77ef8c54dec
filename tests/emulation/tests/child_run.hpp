#pragma once
// Runs a program of the emulation's tests with its own environment, and keeps what came of it.

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "temp_folder.hpp"

namespace bitmill::emulation_tests {

struct ChildRun {
  int exit_code = -1;  // -1: ended by `signal`
  int signal = 0;
  std::string output;  // both streams

  bool says(const std::string& words) const { return output.find(words) != std::string::npos; }
};

// `environment`: "NAME=value NAME=value". At most `seconds`; then it is killed.
inline ChildRun run_child(const std::string& environment, const std::string& command,
                          int seconds = 60) {
  const TempFolder folder;
  const std::string line = "exec env -u BITMILL_EMULATION_LEAKS " + environment +
                           " timeout -s KILL " + std::to_string(seconds) + " " + command + " >" +
                           folder / "out" + " 2>&1";
  const int status = std::system(line.c_str());
  ChildRun run;
  run.output = folder.read("out");
  if (WIFSIGNALED(status)) run.signal = WTERMSIG(status);
  if (WIFEXITED(status)) {
    run.exit_code = WEXITSTATUS(status);
    if (run.exit_code > 128) {  // as the shell and timeout say it
      run.signal = run.exit_code - 128;
      run.exit_code = -1;
    }
  }
  return run;
}

}  // namespace bitmill::emulation_tests

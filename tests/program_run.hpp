#pragma once
// Runs the bitmill program through a shell, as a user does.

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "temp_folder.hpp"

namespace bitmill {

struct ProgramRun {
  int exit_code = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

// `launcher` stands before the program: "mpirun -n 2".
inline ProgramRun run_program_in(const TempFolder& folder, const std::string& launcher,
                                 const std::string& words) {
  const std::string command = launcher + " " + BITMILL_PROGRAM + " " + words + " >" +
                              folder / "out" + " 2>" + folder / "err";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, folder.read("out"), folder.read("err")};
}

}  // namespace bitmill

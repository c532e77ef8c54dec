#include "emulation/conformance/child.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <map>

#include "emulation/conformance/check.hpp"

namespace conformance {
namespace {

std::map<std::string, void (*)()>& children() {
  static std::map<std::string, void (*)()> all;
  return all;
}

}  // namespace

Child::Child(const char* name, void (*run)()) { children()[name] = run; }

int status_of_child(const std::string& name) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "conformance", "--child", name.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_child(const std::string& name) {
  const auto found = children().find(name);
  if (found == children().end()) return 2;
  try {
    found->second();
  } catch (const std::exception& error) {
    std::printf("    child %s: %s\n", name.c_str(), error.what());
    return 1;
  }
  return failures() > 0 ? 1 : 0;
}

}  // namespace conformance

// Runs what cuda's documentation promises and bitmill relies on, against whatever libraries the
// program is linked to: the stand-ins of tests/emulation, or CUDA's own on a machine with a GPU.
//
//   conformance                  everything; exit status 1 when a case differs
//   conformance --only GROUP     one group
//   conformance --list           groups and cases

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "emulation/conformance/check.hpp"
#include "emulation/conformance/child.hpp"

namespace conformance {
namespace {

std::atomic<int> failures_of_case{0};

}  // namespace

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

int failures() { return failures_of_case; }

void fail(const char* file, int line, const std::string& what) {
  ++failures_of_case;
  std::printf("    %s:%d: %s\n", file, line, what.c_str());
}

namespace {

struct Count {
  int passed = 0, failed = 0, skipped = 0;
};

void run(const Case& one, Count* count) {
  failures_of_case = 0;
  std::string skipped;
  try {
    one.run();
  } catch (const Skipped& reason) {
    skipped = reason.why;
  } catch (const std::exception& error) {
    fail(one.group, 0, error.what());
  }
  (void)cudaGetLastError();
  const bool good = failures_of_case == 0;
  ++(!skipped.empty() ? count->skipped : good ? count->passed : count->failed);
  std::printf("%s  %s: %s%s%s\n",
              !skipped.empty() ? "SKIP"
              : good           ? "ok  "
                               : "FAIL",
              one.group, one.sentence, skipped.empty() ? "" : ": ", skipped.c_str());
  std::fflush(stdout);
}

// False without a device, which is said.
bool say_machine() {
  cudaDeviceProp properties;
  int devices = 0;
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess) error = cudaGetDeviceProperties(&properties, 0);
  if (error == cudaSuccess) {
    std::printf("%d device(s), the first: %s\n", devices, properties.name);
  } else {
    std::fprintf(stderr, "conformance: there is no device here: %s\n", cudaGetErrorString(error));
  }
  return error == cudaSuccess;
}

}  // namespace
}  // namespace conformance

int main(int argc, char** argv) {
  using namespace conformance;
  if (argc == 3 && std::strcmp(argv[1], "--child") == 0) return run_child(argv[2]);
  const std::string only = argc == 3 && std::strcmp(argv[1], "--only") == 0 ? argv[2] : "";
  const bool list = argc == 2 && std::strcmp(argv[1], "--list") == 0;
  if (argc > 1 && only.empty() && !list) {
    std::fprintf(stderr, "usage: conformance [--list | --only GROUP]\n");
    return 2;
  }
  if (!list && !say_machine()) return 1;
  Count count;
  int tried = 0;
  for (const Case& one : cases()) {
    if (!only.empty() && only != one.group) continue;
    ++tried;
    if (list) {
      std::printf("%s: %s\n", one.group, one.sentence);
    } else {
      run(one, &count);
    }
  }
  if (tried == 0) {
    std::fprintf(stderr, "conformance: there is no group %s\n", only.c_str());
    return 2;
  }
  if (!list) {
    std::printf("%d passed, %d failed, %d skipped\n", count.passed, count.failed, count.skipped);
  }
  return count.failed > 0 ? 1 : 0;
}

#include "tests/emulation/block/races.hpp"

#include <gtest/gtest.h>
#include <sanitizer/common_interface_defs.h>

#include <cstddef>
#include <cstdint>
#include <utility>

// ThreadSanitizer's interface for debuggers (tsan_interface.h of compiler-rt); no header of it is
// installed.
extern "C" {
int __tsan_get_report_data(void* report, const char** description, int* count, int* stacks,
                           int* accesses, int* locations, int* mutexes, int* threads,
                           int* unique_threads, void** sleep_trace, uintptr_t trace_size);
int __tsan_get_report_mop(void* report, uintptr_t index, int* thread, void** address, int* size,
                          int* write, int* atomic, void** trace, uintptr_t trace_size);
void __tsan_on_report(void* report);
const char* __tsan_default_options();
}

namespace bitmill::emulation {
namespace {

constexpr int frames = 8;

struct Access {
  void* trace[frames] = {};
  int size = 0;
  int write = 0;
};

// A fixed place: ThreadSanitizer holds its locks when it calls, so nothing may be allocated then.
constexpr size_t most = 4096;
Access accesses[most];
size_t found = 0;

std::vector<Access> take_accesses() { return {accesses, accesses + std::exchange(found, 0)}; }

std::string line_of(const Access& access) {
  for (void* const frame : access.trace) {
    if (frame == nullptr) break;
    char text[512] = {};
    __sanitizer_symbolize_pc(frame, "%s:%l", text, sizeof text);
    const std::string line = text;
    if (line.empty() || line.starts_with("/usr/") || line.starts_with("<null>")) continue;
    return line.substr(line.rfind('/') + 1);
  }
  return "an unknown line";
}

std::vector<std::string> in_words(const std::vector<Access>& all) {
  std::vector<std::string> words;
  for (const Access& access : all) {
    words.push_back(std::string(access.write != 0 ? "write" : "read") + " of " +
                    std::to_string(access.size) + " bytes at " + line_of(access));
  }
  return words;
}

class FailOnReport : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    for (const std::string& line : in_words(take_accesses())) {
      ADD_FAILURE() << "ThreadSanitizer reports a race: " << line;
    }
  }
};

const bool listens = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new FailOnReport);
  return true;
}();

}  // namespace

std::vector<std::string> races_of(const std::function<void()>& run) {
  take_accesses();
  run();
  return in_words(take_accesses());
}

}  // namespace bitmill::emulation

void __tsan_on_report(void* report) {
  using namespace bitmill::emulation;
  const char* description = nullptr;
  int count = 0, stacks = 0, both = 0, locations = 0, mutexes = 0, threads = 0, unique = 0;
  void* sleep_trace[1] = {};
  __tsan_get_report_data(report, &description, &count, &stacks, &both, &locations, &mutexes,
                         &threads, &unique, sleep_trace, 1);
  for (int i = 0; i < both && found < most; ++i) {
    Access& access = accesses[found++];
    int thread = 0, atomic = 0;
    void* address = nullptr;
    __tsan_get_report_mop(report, static_cast<uintptr_t>(i), &thread, &address, &access.size,
                          &access.write, &atomic, access.trace, frames);
  }
}

// Reports are failures of tests, not of the process; every one is wanted, not the first of its
// kind.
const char* __tsan_default_options() {
  return "exitcode=0:halt_on_error=0:suppress_equal_addresses=0:report_thread_leaks=0";
}

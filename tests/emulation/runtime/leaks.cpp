#include "emulation/runtime/leaks.hpp"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/event_table.hpp"
#include "emulation/runtime/graph_table.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/settings.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace bitmill::fake_cuda {
namespace {

bool say(size_t count, const char* what) {
  if (count > 0) std::fprintf(stderr, "emulation: left at exit: %zu %s\n", count, what);
  return count > 0;
}

struct Counted {
  std::mutex mutex;
  std::map<std::string, int> live;
};
Counted& counted() {
  static auto* once = new Counted;
  return *once;
}

// On a broken device nothing can be given back.
bool any_is_broken() {
  for (int device = 0; device < device_count(); ++device) {
    if (sticky_error(device) != cudaSuccess) return true;
  }
  return false;
}

}  // namespace

void count_live(const char* kind, int change) {
  const std::lock_guard lock(counted().mutex);
  counted().live[kind] += change;
}

void leaks_at_exit() {
  if (!settings().report_leaks || any_is_broken()) return;
  bool any = false;
  for (const Allocation& a : DeviceMemory::of_process().live()) {
    std::fprintf(stderr, "emulation: left at exit: allocation %llu, %zu bytes on device %d\n",
                 static_cast<unsigned long long>(a.number), a.bytes, a.device);
    any = true;
  }
  for (const size_t bytes : PinnedMemory::of_process().live()) {
    std::fprintf(stderr, "emulation: left at exit: %zu bytes of pinned memory\n", bytes);
    any = true;
  }
  any = say(live_streams(), "streams") || any;
  any = say(live_events(), "events") || any;
  any = say(live_graphs(), "graphs") || any;
  const std::lock_guard lock(counted().mutex);
  for (const auto& [kind, count] : counted().live) {
    any = say(static_cast<size_t>(count), kind.c_str()) || any;
  }
  if (any && settings().fail_on_leaks) {
    std::fflush(nullptr);
    _exit(66);
  }
}

}  // namespace bitmill::fake_cuda

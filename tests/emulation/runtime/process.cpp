#include "emulation/runtime/process.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "emulation/runtime/faults.hpp"
#include "emulation/runtime/leaks.hpp"
#include "emulation/runtime/settings.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace bitmill::fake_cuda {
namespace {

thread_local int current = 0;
thread_local bool in_host_function = false;

// Registered at the first call, so it runs before the destructors of what was made earlier:
// libtorch's own objects are still there while the streams end.
void at_exit() {
  end_all_streams();
  leaks_at_exit();
}

std::atomic<pid_t>& owner() {
  static auto* pid = new std::atomic<pid_t>(0);
  return *pid;
}

void begin() {
  static std::once_flag once;
  std::call_once(once, [] {
    owner() = getpid();
    install_fault_handler();
    if (std::atexit(at_exit) != 0) std::abort();
  });
}

}  // namespace

int device_count() { return static_cast<int>(settings().devices.size()); }
int current_device() { return current; }
void set_current_device(int device) { current = device; }

cudaError_t why_not_usable() {
  if (device_count() == 0) return cudaErrorNoDevice;
  begin();
  if (owner() != getpid()) {
    std::fprintf(stderr, "emulation: CUDA was begun before fork() and cannot be used after it\n");
    return cudaErrorInitializationError;
  }
  return in_host_function ? cudaErrorNotPermitted : cudaSuccess;
}

InHostFunction::InHostFunction() { in_host_function = true; }
InHostFunction::~InHostFunction() { in_host_function = false; }

}  // namespace bitmill::fake_cuda

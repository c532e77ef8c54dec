// siglongjmp from another stack is what this file does: glibc's check of it would end the process.
#undef _FORTIFY_SOURCE

#include "emulation/runtime/faults.hpp"

#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/pinned.hpp"

namespace bitmill::fake_cuda {
namespace {

struct DeviceWork {
  sigjmp_buf back;
  const void* address = nullptr;  // of the fault
  cudaError_t error = cudaSuccess;
  std::string text;
};
thread_local DeviceWork* working = nullptr;
struct sigaction before;

// No allocation, no lock: this runs inside a signal handler.
void say_host_touch(const void* address) {
  char text[] = "emulation: host code touched device memory at 0x0000000000000000\n";
  char* digit = text + sizeof(text) - 3;
  for (auto rest = reinterpret_cast<uintptr_t>(address); rest != 0; rest >>= 4) {
    *digit-- = "0123456789abcdef"[rest & 15U];
  }
  (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

void on_fault(int signal, siginfo_t* info, void* /*context*/) {
  if (working != nullptr) {
    working->address = info->si_addr;
    working->error = cudaErrorIllegalAddress;
    siglongjmp(working->back, 1);
  }
  if (is_device_address(info->si_addr)) say_host_touch(info->si_addr);
  sigaction(signal, &before, nullptr);  // the access is made again, and goes where it always went
}

std::string describe(const void* address) {
  char text[64];
  std::snprintf(text, sizeof(text), "address %p ", address);
  const std::string place = explain(address);
  return text + (place.empty() ? "is in no memory of a device" : place);
}

}  // namespace

std::string explain(const void* address) {
  const std::string place = DeviceMemory::of_process().explain(address);
  return place.empty() ? PinnedMemory::of_process().explain(address) : place;
}

Outcome run_as_device(const std::function<void()>& work) {
  DeviceWork mine;
  DeviceWork* const outer = working;
  Outcome outcome;
  if (sigsetjmp(mine.back, 1) == 0) {
    working = &mine;
    try {
      work();
    } catch (const DeviceError& error) {
      mine.error = error.outcome.error;
      mine.text = error.outcome.text;
    } catch (const std::exception& error) {
      mine.error = cudaErrorUnknown;
      mine.text = error.what();
    }
  }
  working = outer;
  outcome.error = mine.error;
  outcome.text = mine.error == cudaErrorIllegalAddress && mine.text.empty() ? describe(mine.address)
                                                                            : mine.text;
  return outcome;
}

void end_device_work(cudaError_t error, const char* text) {
  if (working == nullptr) {
    std::fprintf(stderr, "emulation: a kernel failed outside a stream: %s\n", text);
    std::abort();
  }
  working->error = error;
  working->text = text;
  siglongjmp(working->back, 1);
}

void install_fault_handler() {
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before);
}

namespace {
struct HandlerStack {
  std::vector<char> bytes = std::vector<char>(64 * 1024);
  HandlerStack() { set(0); }
  HandlerStack(const HandlerStack&) = delete;
  HandlerStack& operator=(const HandlerStack&) = delete;
  ~HandlerStack() { set(SS_DISABLE); }
  void set(int flags) {
    stack_t stack = {};
    stack.ss_sp = bytes.data();
    stack.ss_size = bytes.size();
    stack.ss_flags = flags;
    sigaltstack(&stack, nullptr);
  }
};
}  // namespace

void prepare_thread_for_faults() { thread_local const HandlerStack stack; }

}  // namespace bitmill::fake_cuda

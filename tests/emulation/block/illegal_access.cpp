#include "tests/emulation/block/illegal_access.hpp"

#include <dlfcn.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>

#include "tests/emulation/block/block_runner.hpp"
#include "tests/emulation/block/device_code.hpp"
#include "tests/emulation/block/device_memory.hpp"
#include "tests/emulation/block/tsan.hpp"

namespace bitmill::emulation {
namespace {

constexpr size_t handler_bytes = 64 * 1024;

// The handler's own stack, and one for what comes after it: the thread's may be used up.
struct SpareStacks {
  alignas(64) char handler[handler_bytes];
  alignas(64) char afterwards[handler_bytes];
  const void* address = nullptr;
  const void* code = nullptr;
  bool write = false;
};
thread_local SpareStacks* spare = nullptr;

struct sigaction before[2];  // of SIGSEGV and SIGBUS

// "32 bytes past the end of X"
std::string distance_words(const void* address, const char* begin, size_t size) {
  const auto* at = static_cast<const char*>(address);
  if (at < begin) return std::to_string(begin - at) + " bytes before";
  if (at >= begin + size) return std::to_string(at - (begin + size)) + " bytes past the end of";
  return "at byte " + std::to_string(at - begin) + " of";
}

// For addr2line; "" where the system does not know.
std::string code_words(const void* code) {
  Dl_info where{};
  if (code == nullptr || dladdr(code, &where) == 0 || where.dli_fname == nullptr) return "";
  char text[64];
  std::snprintf(text, sizeof text, "0x%zx",
                static_cast<size_t>(static_cast<const char*>(code) -
                                    static_cast<const char*>(where.dli_fbase)) -
                    1);
  return std::string(" (addr2line -Cfie ") + where.dli_fname + " " + text + ")";
}

std::string place_words(const BlockRunner& runner, const void* address) {
  if (runner.stacks().find(address) != nullptr) {
    return "the stack of a thread: either too deep, or another thread's local variable";
  }
  if (const SharedMemory::Array* array = const_cast<BlockRunner&>(runner).shared().find(address)) {
    return distance_words(address, array->begin, array->bytes) + " shared array '" +
           array->declaration->name + "' (" + std::to_string(array->bytes) + " bytes)";
  }
  if (in_device_memory(address)) {
    if (const DeviceRange* range = nearest_device_range(address)) {
      return distance_words(address, range->begin, range->bytes) + " device array '" + range->name +
             "' (" + std::to_string(range->bytes) + " bytes" + (range->freed ? ", freed)" : ")");
    }
  }
  char text[64];
  std::snprintf(text, sizeof text, "%p, which ", address);
  const std::string known = runtime() == nullptr ? "" : runtime()->explain(address);
  return text + (known.empty() ? "is no device memory" : known);
}

// Runs on the spare stack, as if the kernel had called it.
[[noreturn]] void end_block() {
  // This stack is none of a CUDA thread, and the words are made by functions of the standard
  // library whose copy in this program may be one that calls the hooks.
  const tsan::Quiet quiet;
  BlockRunner& runner = *BlockRunner::running();
  runner.fail(access_words(runner, spare->address, 0, spare->write, spare->code), true);
}

void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& old = before[signal == SIGSEGV ? 0 : 1];
  if ((old.sa_flags & SA_SIGINFO) != 0 && old.sa_sigaction != nullptr) {
    old.sa_sigaction(signal, info, context);
  } else if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) {
    old.sa_handler(signal);
  } else {
    sigaction(signal, &old, nullptr);  // the access is made again, and ends the process
  }
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (BlockRunner::running() == nullptr || spare == nullptr) {
    pass_on(signal, info, context);
    return;
  }
  spare->address = info->si_addr;
#if defined(__x86_64__)
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  spare->code = reinterpret_cast<const void*>(registers[REG_RIP] + 1);
  spare->write = (registers[REG_ERR] & 2) != 0;
  registers[REG_RSP] = reinterpret_cast<greg_t>(spare->afterwards + handler_bytes - 8);
  registers[REG_RIP] = reinterpret_cast<greg_t>(&end_block);
#else
  // Without the processor's registers there is no way back to the host.
  const std::string said = "bitmill emulation: an illegal access in a kernel: " +
                           access_words(*BlockRunner::running(), info->si_addr, 0, false, nullptr) +
                           "\n";
  (void)!write(2, said.data(), said.size());
  _exit(134);
#endif
}

}  // namespace

void catch_illegal_accesses() {
  thread_local const std::unique_ptr<SpareStacks> mine = std::make_unique<SpareStacks>();
  spare = mine.get();
  stack_t stack{};
  stack.ss_sp = spare->handler;
  stack.ss_size = handler_bytes;
  sigaltstack(&stack, nullptr);
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &before[0]);
    sigaction(SIGBUS, &action, &before[1]);
  });
}

std::string access_words(const BlockRunner& runner, const void* address, size_t bytes, bool write,
                         const void* code) {
  std::string said = write ? "writes " : "reads ";
  if (bytes > 0) said += std::to_string(bytes) + " bytes ";
  return said + place_words(runner, address) + code_words(code);
}

}  // namespace bitmill::emulation

#include "emulation/runtime/errors.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include "emulation/runtime/process.hpp"
#include "emulation/runtime/settings.hpp"

namespace bitmill::fake_cuda {
namespace {

struct Name {
  cudaError_t error;
  const char* name;
};
constexpr Name names[] = {
#define EMULATION_ERROR(error) {error, #error},
#include "emulation/runtime/error_names.inc"
#undef EMULATION_ERROR
};

thread_local cudaError_t last = cudaSuccess;

std::array<std::atomic<cudaError_t>, 16>& sticky() {
  static auto* errors = new std::array<std::atomic<cudaError_t>, 16>{};
  return *errors;
}

struct Injected {
  std::mutex mutex;
  std::vector<Failure> wanted = settings().failures;
  std::map<std::string, uint64_t> calls;
};
Injected& injected() {
  static auto* once = new Injected;
  return *once;
}

cudaError_t usual_error(const std::string& call) {
  if (call.find("Malloc") != std::string::npos || call == "cudaHostAlloc") {
    return cudaErrorMemoryAllocation;
  }
  return call == "cudaLaunchKernel" ? cudaErrorLaunchOutOfResources : cudaErrorUnknown;
}

cudaError_t error_of(const std::string& name, const std::string& call) {
  if (name.empty()) return usual_error(call);
  for (const Name& known : names) {
    if (name == known.name) return known.error;
  }
  std::fprintf(stderr, "emulation: %s shall fail with %s, which is no error of CUDA\n",
               call.c_str(), name.c_str());
  std::exit(2);
}

}  // namespace

const char* error_name(cudaError_t error) {
  for (const Name& known : names) {
    if (known.error == error) return known.name;
  }
  return "unrecognized error code";
}

const char* error_words(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInitializationError:
      return "initialization error";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorAssert:
      return "device-side assert triggered";
    case cudaErrorNotSupported:
      return "operation not supported";
    case cudaErrorNotPermitted:
      return "operation not permitted";
    case cudaErrorUnknown:
      return "unknown error";
    default:
      return error_name(error);
  }
}

cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last = error;
  return error;
}

cudaError_t peek_last_error() {
  const cudaError_t broken = sticky_error(current_device());
  return broken != cudaSuccess ? broken : last;
}

cudaError_t take_last_error() {
  const cudaError_t error = peek_last_error();
  last = cudaSuccess;
  return error;
}

bool wanted_failure(const char* call, std::string* error) {
  Injected& all = injected();
  const std::lock_guard lock(all.mutex);
  if (all.wanted.empty()) return false;
  const uint64_t nth = ++all.calls[call];
  for (const Failure& failure : all.wanted) {
    if (failure.call != call || failure.nth != nth) continue;
    *error = failure.error;
    std::fprintf(stderr, "emulation: %s fails, call %llu, as was asked for\n", call,
                 static_cast<unsigned long long>(nth));
    return true;
  }
  return false;
}

void want_failure(const char* call, unsigned long long nth, const char* error) {
  Injected& all = injected();
  const std::lock_guard lock(all.mutex);
  all.wanted.push_back({call, all.calls[call] + nth, error == nullptr ? "" : error});
}

cudaError_t enter(const char* call) {
  if (const cudaError_t error = why_not_usable(); error != cudaSuccess) return give(error);
  std::string name;
  if (wanted_failure(call, &name)) return give(error_of(name, call));
  return give(sticky_error(current_device()));
}

void break_device(int device, cudaError_t error, const std::string& text) {
  cudaError_t none = cudaSuccess;
  if (sticky().at(static_cast<size_t>(device)).compare_exchange_strong(none, error)) {
    std::fprintf(stderr, "emulation: device %d: %s: %s\n", device, error_name(error), text.c_str());
  }
}

cudaError_t sticky_error(int device) { return sticky().at(static_cast<size_t>(device)); }

cudaError_t not_emulated(const char* call) {
  std::fprintf(stderr,
               "emulation: %s is not emulated (tests/emulation/README.md says how to add a call)\n",
               call);
  return give(cudaErrorNotSupported);
}

}  // namespace bitmill::fake_cuda

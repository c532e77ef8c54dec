#pragma once
// Errors as the runtime keeps them: the last one of a thread, the sticky one of a device, and those
// that a test asked for.

#include <cuda_runtime_api.h>

#include <string>

namespace bitmill::fake_cuda {

// "cudaErrorInvalidValue"; "unrecognized error code" for what CUDA does not know.
const char* error_name(cudaError_t error);
// CUDA's words where programs show or compare them, else the name.
const char* error_words(cudaError_t error);

// Records `error` as the calling thread's last one, unless it is success or "not ready", and
// returns it. What a function of the API returns goes through here.
cudaError_t give(cudaError_t error);
cudaError_t take_last_error();
cudaError_t peek_last_error();

// An error that an API call must return before it does anything: one that was asked for
// (BITMILL_EMULATION_FAIL), the sticky one of the current device, a call after fork() or from a
// host function on a stream. Counts the calls of `call`.
cudaError_t enter(const char* call);

// Whether this is the call of `call` that a test wants to fail; what with goes to `error`, which is
// its error by default. For calls of other libraries, too ("ncclSend", "cublasLtMatmul").
bool wanted_failure(const char* call, std::string* error);
// Adds one to those of the environment: the nth call from now on.
void want_failure(const char* call, unsigned long long nth, const char* error);

// From now on every call on `device` fails with `error`; the first error stays. `text` is printed.
void break_device(int device, cudaError_t error, const std::string& text);
cudaError_t sticky_error(int device);

// Prints that `call` is not emulated, and returns cudaErrorNotSupported.
cudaError_t not_emulated(const char* call);

}  // namespace bitmill::fake_cuda

#define EMULATION_ENTER()                                                                        \
  if (const cudaError_t entered = ::bitmill::fake_cuda::enter(__func__); entered != cudaSuccess) \
  return entered

#include "device/cuda_fault.hpp"

#include <c10/util/Exception.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/host_name.hpp"
#include "device/device.hpp"
#include "device/device_full.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

constexpr const char* kernel_went_wrong =
    "this is most likely a mistake of bitmill: set CUDA_LAUNCH_BLOCKING=1 and run it again: "
    "then the call is named that went wrong (without it, a later one is), and report it";
constexpr const char* device_broke =
    "look for Xid in the kernel's log (dmesg) and at nvidia-smi -q; run the same command again, on "
    "another GPU where this one keeps failing. Everything that was committed is kept";
constexpr const char* mps_failed =
    "the multi-process service of this GPU failed: restart it (nvidia-cuda-mps-control), or end it "
    "and run without it";

struct FaultAdvice {
  cudaError_t error;
  const char* words;
  bool lost = false;
};

// Meanings: CUDA Runtime API, "cudaError".
constexpr FaultAdvice fault_advice[] = {
    {cudaErrorMemoryAllocation,
     "look who else uses this GPU (nvidia-smi), and run the same command again; a shorter "
     "--seq-len takes less"},
    {cudaErrorNoDevice,
     "see which GPUs there are with nvidia-smi -L; CUDA_VISIBLE_DEVICES and the batch system may "
     "hide them; a container must be started with them (docker run --gpus all, apptainer run "
     "--nv); a GPU in MIG mode shows nothing before it is cut into slices (nvidia-smi mig -cgi)"},
    {cudaErrorInsufficientDriver, "update the GPU's driver"},
    {cudaErrorStubLibrary,
     "libcuda.so was found among the toolkit's stubs, which are for linking alone: take that "
     "folder out of LD_LIBRARY_PATH, and install the GPU's driver where there is none"},
    {cudaErrorSystemDriverMismatch,
     "libcuda.so and the loaded driver are of different versions: restart the machine after an "
     "update of the driver; in a container, use the host's libcuda.so"},
    {cudaErrorCompatNotSupportedOnDevice,
     "a libcuda.so of CUDA's compatibility package was found, which this GPU does not take: take "
     "its folder out of LD_LIBRARY_PATH, and update the driver"},
    {cudaErrorSystemNotReady,
     "start the service that joins the GPUs of this machine (nvidia-fabricmanager), and wait for "
     "it"},
    {cudaErrorInitializationError,
     "the driver could not be started: see whether nvidia-smi works on this host, and look into "
     "the kernel's log (dmesg)"},
    {cudaErrorDevicesUnavailable,
     "another process has this GPU for itself, or is not done with it: see nvidia-smi; with "
     "several ranks on a GPU, its compute mode must be Default (nvidia-smi -c DEFAULT)",
     true},
    {cudaErrorInvalidPtx, "the driver cannot compile bitmill's kernels: update it"},
    {cudaErrorUnsupportedPtxVersion,
     "the driver is older than the compiler of the kernels: update it"},
    {cudaErrorIllegalAddress, kernel_went_wrong},
    {cudaErrorMisalignedAddress, kernel_went_wrong},
    {cudaErrorIllegalInstruction, kernel_went_wrong},
    {cudaErrorInvalidAddressSpace, kernel_went_wrong},
    {cudaErrorInvalidPc, kernel_went_wrong},
    {cudaErrorAssert, kernel_went_wrong},
    {cudaErrorLaunchFailure, kernel_went_wrong},
    {cudaErrorLaunchTimeout,
     "the system ends kernels of a GPU that also drives a display after some seconds: use another "
     "GPU, or one without a display",
     true},
    {cudaErrorECCUncorrectable, device_broke, true},
    {cudaErrorNvlinkUncorrectable, device_broke, true},
    {cudaErrorHardwareStackError, device_broke, true},
    {cudaErrorContained, device_broke, true},
    {cudaErrorUnknown, device_broke, true},
    {cudaErrorMpsConnectionFailed, mps_failed, true},
    {cudaErrorMpsRpcFailure, mps_failed, true},
    {cudaErrorMpsServerNotReady, mps_failed, true},
    {cudaErrorMpsMaxClientsReached, mps_failed, true},
    {cudaErrorMpsMaxConnectionsReached, mps_failed, true},
    {cudaErrorMpsClientTerminated, mps_failed, true},
};

const FaultAdvice* advice_on(cudaError_t error) {
  for (const FaultAdvice& one : fault_advice) {
    if (one.error == error) return &one;
  }
  return nullptr;
}

// A device of sm_80: build for it. What this build has: CMAKE_CUDA_ARCHITECTURES.
std::string other_architecture(int index) {
  cudaDeviceProp device;
  const bool known = cudaGetDeviceProperties(&device, index) == cudaSuccess;
  const std::string architecture =
      known ? fmt::format("{}{}", device.major, device.minor) : "its architecture";
  return fmt::format(
      "this build has kernels for {} alone, and the GPU is {}: build it with cmake --preset cuda "
      "-DCMAKE_CUDA_ARCHITECTURES={}",
      BITMILL_CUDA_ARCHITECTURES, known ? "sm_" + architecture : "another", architecture);
}

std::string memory_now() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return "";
  return fmt::format("{} of {} are free; ", format_bytes(static_cast<int64_t>(free)),
                     format_bytes(static_cast<int64_t>(total)));
}

int current_cuda_device() {
  int index = 0;
  return cudaGetDevice(&index) == cudaSuccess ? index : 0;
}

std::string advice_here(cudaError_t error, int index) {
  if (error == cudaErrorNoKernelImageForDevice) return other_architecture(index);
  if (error == cudaErrorMemoryAllocation) return memory_now() + what_to_try(error);
  return what_to_try(error);
}

[[noreturn]] void throw_device_error(cudaError_t error, std::string_view what) {
  const int index = current_cuda_device();
  const std::string advice = advice_here(error, index);
  const std::string text = fmt::format("{} failed on {}: {}{}{}", what, cuda_place(index),
                                       cuda_words(error), advice.empty() ? "" : "; ", advice);
  cudaGetLastError();
  if (error == cudaErrorMemoryAllocation) throw DeviceFullError(text);
  if (is_device_lost(error)) throw DeviceLostError(text);
  throw DeviceError(text);
}

// libtorch's own words say how much was asked for, and what is free; what it advises on its
// settings comes behind them.
[[noreturn]] void throw_out_of_memory(const c10::Error& error) {
  std::string words = error.what_without_backtrace();
  words.resize(std::min(words.size(), words.find(" If reserved but")));
  if (words.ends_with('.')) words.pop_back();
  throw DeviceFullError(fmt::format("{}: {}; {}", cuda_place(current_cuda_device()), words,
                                    what_to_try(cudaErrorMemoryAllocation)));
}

}  // namespace

std::string cuda_words(cudaError_t error) {
  return fmt::format("{}: {}", cudaGetErrorName(error), cudaGetErrorString(error));
}

std::string what_to_try(cudaError_t error) {
  const FaultAdvice* const found = advice_on(error);
  return found == nullptr ? "" : found->words;
}

bool is_device_lost(cudaError_t error) {
  const FaultAdvice* const found = advice_on(error);
  return found != nullptr && found->lost;
}

std::string cuda_version_text(int version) {
  return version == 0 ? "" : fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string why_no_devices(cudaError_t error, int driver, int runtime) {
  if (error == cudaSuccess) error = cudaErrorNoDevice;
  if (error != cudaErrorInsufficientDriver || driver >= runtime) {
    const std::string advice = what_to_try(error);
    return cuda_words(error) + (advice.empty() ? "" : "; " + advice);
  }
  const std::string wanted = cuda_version_text(runtime);
  if (driver == 0) {
    return fmt::format(
        "no NVIDIA driver is loaded here ({}); install one for CUDA {} or later, or start the "
        "container with the host's (docker run --gpus all, apptainer run --nv)",
        cuda_words(error), wanted);
  }
  return fmt::format(
      "the NVIDIA driver is too old: it is for CUDA {}, and this bitmill needs CUDA {} ({}); "
      "update "
      "the driver, or build bitmill with that toolkit and a libtorch for it",
      cuda_version_text(driver), wanted, cuda_words(error));
}

std::string cuda_place(int index) {
  cudaDeviceProp device;
  const bool named = cudaGetDeviceProperties(&device, index) == cudaSuccess;
  return named ? fmt::format("{} (cuda:{}) on {}", device.name, index, host_name())
               : fmt::format("cuda:{} on {}", index, host_name());
}

void check_cuda(cudaError_t error, std::string_view what) {
  if (error != cudaSuccess) throw_device_error(error, what);
}

void with_device_errors(const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::AcceleratorError& error) {
    throw_device_error(static_cast<cudaError_t>(error.get_error_code()), "libtorch's work");
  } catch (const c10::Error& error) {
    const std::string words = error.what_without_backtrace();
    if (words.starts_with("CUDA out of memory")) throw_out_of_memory(error);
    // Of CUDA's libraries: "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling ...".
    if (!words.starts_with("CUDA error")) throw;
    throw DeviceError(fmt::format("{}: {}", cuda_place(current_cuda_device()), words));
  }
}

}  // namespace bitmill

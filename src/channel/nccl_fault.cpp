#include "channel/nccl_fault.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace bitmill {
namespace {

// Meanings: NCCL's user guide, "Types" and "Troubleshooting".
constexpr std::string_view interface_advice =
    "set NCCL_SOCKET_IFNAME, on every host, to the interface by which the hosts reach each other "
    "(ip -br address lists them), and let a firewall pass connections between them";
constexpr std::string_view memory_advice =
    "NCCL needs /dev/shm with some tens of megabytes for every GPU: see df -h /dev/shm; a "
    "container "
    "gets more with docker run --shm-size=1g or --ipc=host; NCCL_SHM_DISABLE=1 does without, and "
    "is "
    "slower";
constexpr std::string_view debug_advice = "; with NCCL_DEBUG=INFO it says more";

std::string_view name_of(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "ncclSuccess";
    case ncclUnhandledCudaError:
      return "ncclUnhandledCudaError";
    case ncclSystemError:
      return "ncclSystemError";
    case ncclInternalError:
      return "ncclInternalError";
    case ncclInvalidArgument:
      return "ncclInvalidArgument";
    case ncclInvalidUsage:
      return "ncclInvalidUsage";
    case ncclRemoteError:
      return "ncclRemoteError";
    case ncclInProgress:
      return "ncclInProgress";
    default:
      return "an error of NCCL";
  }
}

bool says(std::string_view text, std::string_view word) {
  return text.find(word) != std::string_view::npos;
}

std::string system_advice(std::string_view detail) {
  const bool memory = says(detail, "shared memory") || says(detail, "/dev/shm");
  const bool socket = says(detail, "socket") || says(detail, "interface") ||
                      says(detail, "Bootstrap") || says(detail, "connect");
  if (memory && !socket) return std::string(memory_advice);
  if (socket && !memory) return std::string(interface_advice);
  return fmt::format("{}; {}", interface_advice, memory_advice);
}

}  // namespace

std::string nccl_words(ncclResult_t result, std::string_view detail) {
  return fmt::format("{}: {}{}", name_of(result), ncclGetErrorString(result),
                     detail.empty() ? "" : fmt::format(" ({})", detail));
}

std::string nccl_advice(ncclResult_t result, std::string_view detail) {
  std::string words;
  switch (result) {
    case ncclRemoteError:
      return "that rank, its host, or the network between the two is gone: what it said itself is "
             "the cause; run the same command again";
    case ncclSystemError:
      words = system_advice(detail);
      break;
    case ncclInvalidUsage:
      words = says(detail, "Duplicate GPU")
                  ? "two ranks see one GPU: let every rank see one of its own "
                    "(CUDA_VISIBLE_DEVICES, and what the batch system gives)"
              : says(detail, "version")
                  ? "one version of NCCL must be on all hosts (bitmill devices shows it)"
                  : "this is most likely a mistake of bitmill: please report it";
      break;
    case ncclUnhandledCudaError:
      words =
          says(detail, "out of memory")
              ? "the GPU has no memory left for NCCL's buffers: see nvidia-smi; a lower "
                "--device-memory-limit (quantize), more --stages or a smaller --seq-len leaves more"
              : "the GPU or its driver failed: see nvidia-smi, and the kernel's log (dmesg)";
      break;
    default:
      words = "this is most likely a mistake of bitmill or of NCCL: please report it";
  }
  return words + std::string(debug_advice);
}

void check_nccl(ncclResult_t result, ncclComm_t comm, std::string_view place,
                std::string_view doing, bool connected) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  const char* const last = ncclGetLastError(comm);
  const std::string detail = last != nullptr ? last : "";
  const std::string text = fmt::format("{}: NCCL, {}: {}; {}", place, doing,
                                       nccl_words(result, detail), nccl_advice(result, detail));
  const bool by_others =
      result == ncclRemoteError || result == ncclSystemError || result == ncclInternalError;
  if (connected && by_others) throw PeerLostError(text);
  throw CommError(text);
}

void throw_nccl_late(double seconds, std::string_view place, std::string_view doing) {
  throw PeerLostError(
      fmt::format("{}: NCCL, {}: nothing has come through for {:.0f} s; the other host or the "
                  "network may be gone; if it never worked, {}{}. Run the same command again",
                  place, doing, seconds, interface_advice, debug_advice));
}

}  // namespace bitmill

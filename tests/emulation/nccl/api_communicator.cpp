// Communicators, as nccl.h declares them.

#include <nccl.h>

#include <algorithm>
#include <string>

#include "emulation/nccl/bootstrap.hpp"
#include "emulation/nccl/communicator.hpp"
#include "emulation/nccl/group.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/process.hpp"

namespace {

using namespace bitmill::fake_nccl;

bool fails(const char* call) {
  std::string error;
  return bitmill::fake_cuda::wanted_failure(call, &error);
}

ncclResult_t end(ncclComm_t comm) {
  comm->join_background();
  remove_communicator(comm);
  comm->wait_for_users();
  delete comm;
  return ncclSuccess;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (fails(__func__)) return ncclSystemError;
  return make_unique_id(id) ? ncclSuccess : ncclSystemError;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int count, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (fails(__func__)) return ncclSystemError;
  if (out == nullptr || rank < 0 || rank >= count) return ncclInvalidArgument;
  *out = nullptr;
  if (bitmill::fake_cuda::why_not_usable() != cudaSuccess) return ncclUnhandledCudaError;
  constexpr ncclConfig_t initial = NCCL_CONFIG_INITIALIZER;
  if (config != nullptr && config->magic != initial.magic) return ncclInvalidArgument;
  const bool blocking = config == nullptr || config->blocking != 0;
  auto* const comm = new ncclComm(rank, count, bitmill::fake_cuda::current_device(), blocking);
  add_communicator(comm);
  *out = comm;
  comm->in_background([comm, id] { comm->connect(id); });
  if (!blocking) return ncclInProgress;
  if (wait_at_end(comm)) return ncclSuccess;
  comm->join_background();
  return comm->state();
}

ncclResult_t ncclCommInitRank(ncclComm_t* out, int count, ncclUniqueId id, int rank) {
  return ncclCommInitRankConfig(out, count, id, rank, nullptr);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  comm->stall_in_abort();
  comm->abort();
  return end(comm);
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  comm->join_background();
  comm->wait_for_users();
  return comm->state();
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  return is_communicator(comm) ? end(comm) : ncclInvalidArgument;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  *state = comm->state();
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  *count = comm->count;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  *rank = comm->rank;
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  *device = comm->device;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t comm) {
  thread_local std::string last;
  last = is_communicator(comm) ? comm->message() : "";
  return last.c_str();
}

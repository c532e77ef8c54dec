// Transfers, as nccl.h declares them. Those that add are not emulated, on purpose: bitmill's sums
// have one order, and NCCL's do not. A program that calls one does not link.

#include <nccl.h>

#include <string>
#include <vector>

#include "emulation/nccl/communicator.hpp"
#include "emulation/nccl/group.hpp"
#include "emulation/runtime/errors.hpp"

namespace {

using namespace bitmill::fake_nccl;

// 0 for a type that nccl.h does not name.
size_t size_of(ncclDataType_t type) {
  switch (type) {
    case ncclInt8:
    case ncclUint8:
    case ncclFloat8e4m3:
    case ncclFloat8e5m2:
      return 1;
    case ncclFloat16:
    case ncclBfloat16:
      return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
      return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
      return 8;
    default:
      return 0;
  }
}

char* bytes_of(const void* address) { return static_cast<char*>(const_cast<void*>(address)); }

// What every transfer begins with.
ncclResult_t refuse(const char* call, ncclDataType_t type, ncclComm_t comm) {
  std::string error;
  if (bitmill::fake_cuda::wanted_failure(call, &error)) return ncclSystemError;
  return is_communicator(comm) && size_of(type) > 0 ? ncclSuccess : ncclInvalidArgument;
}

}  // namespace

ncclResult_t ncclGroupStart() {
  begin_group();
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() { return end_group(); }

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  if (const auto why = refuse(__func__, type, comm); why != ncclSuccess) return why;
  return add(comm, stream, {{true, peer, bytes_of(from), count * size_of(type), Kind::pair}});
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  if (const auto why = refuse(__func__, type, comm); why != ncclSuccess) return why;
  return add(comm, stream, {{false, peer, bytes_of(to), count * size_of(type), Kind::pair}});
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  if (const auto why = refuse(__func__, type, comm); why != ncclSuccess) return why;
  const size_t bytes = count * size_of(type);
  std::vector<Operation> operations;
  for (int peer = 0; peer < comm->count; ++peer) {
    operations.push_back({true, peer, bytes_of(from), bytes, Kind::gather});
    operations.push_back(
        {false, peer, bytes_of(to) + static_cast<size_t>(peer) * bytes, bytes, Kind::gather});
  }
  return add(comm, stream, std::move(operations));
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  if (const auto why = refuse(__func__, type, comm); why != ncclSuccess) return why;
  const size_t bytes = count * size_of(type);
  std::vector<Operation> operations;
  for (int peer = 0; comm->rank == root && peer < comm->count; ++peer) {
    operations.push_back({true, peer, bytes_of(from), bytes, Kind::broadcast});
  }
  operations.push_back({false, root, bytes_of(to), bytes, Kind::broadcast});
  return add(comm, stream, std::move(operations));
}

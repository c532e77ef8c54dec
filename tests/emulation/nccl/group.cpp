#include "emulation/nccl/group.hpp"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "emulation/nccl/communicator.hpp"
#include "emulation/runtime/device_memory.hpp"
#include "emulation/runtime/errors.hpp"
#include "emulation/runtime/pinned.hpp"
#include "emulation/runtime/process.hpp"
#include "emulation/runtime/settings.hpp"
#include "emulation/runtime/stream_table.hpp"

namespace bitmill::fake_nccl {
namespace {

struct Queued {
  ncclComm_t comm;
  cudaStream_t stream;
  std::vector<Operation> operations;
};

struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<Queued> queued;
  std::vector<ncclComm_t> starting;
};
thread_local Group group;

void put_onto_stream(const Queued& queued) {
  ncclComm* const comm = queued.comm;
  ++comm->users;
  // However the task ends, also unrun on a broken device, it no longer uses the communicator.
  const std::shared_ptr<void> use(nullptr, [comm](void*) { --comm->users; });
  const cudaError_t error = fake_cuda::enqueue(
      queued.stream, [comm, use, operations = queued.operations] { comm->carry_out(operations); });
  if (error != cudaSuccess) comm->fail(ncclUnhandledCudaError, "cannot use the stream");
}

// A communicator that does not block is told later that its work was begun: who does not ask for
// that with ncclCommGetAsyncError is refused at the next call.
ncclResult_t launch(Queued queued) {
  ncclComm* const comm = queued.comm;
  if (comm->blocking) {
    put_onto_stream(queued);
    return ncclSuccess;
  }
  comm->set_state(ncclInProgress);
  comm->in_background([comm, queued = std::move(queued)] {
    fake_cuda::set_current_device(comm->device);
    usleep(static_cast<useconds_t>(std::min<uint64_t>(fake_cuda::settings().delay_us, 50000)));
    put_onto_stream(queued);
    if (comm->state() == ncclInProgress) comm->set_state(ncclSuccess);
  });
  return ncclInProgress;
}

std::string why_not(const ncclComm& comm, const Operation& operation) {
  if (operation.peer < 0 || operation.peer >= comm.count) return "there is no such rank";
  if (operation.bytes == 0 || fake_cuda::PinnedMemory::of_process().contains(operation.data)) {
    return "";
  }
  const auto place = fake_cuda::DeviceMemory::of_process().around(operation.data, operation.bytes);
  if (!place) return "the buffer is neither device memory nor pinned, or is too short, or freed";
  return place->device == comm.device ? "" : "the buffer is on another device";
}

ncclResult_t refused(ncclResult_t result, ncclComm_t comm, const std::string& why) {
  std::fprintf(stderr, "emulation: NCCL, rank %d: %s\n", comm->rank, why.c_str());
  if (group.depth > 0 && group.error == ncclSuccess) group.error = result;
  return result;
}

}  // namespace

void begin_group() { ++group.depth; }

ncclResult_t end_group() {
  if (group.depth == 0) return ncclInvalidUsage;
  if (--group.depth > 0) return ncclSuccess;
  const Group all = std::exchange(group, Group{});
  if (all.error != ncclSuccess) return all.error;
  ncclResult_t result = ncclSuccess;
  for (ncclComm_t comm : all.starting) {
    comm->join_background();
    if (comm->state() != ncclSuccess) result = comm->state();
  }
  for (const Queued& queued : all.queued) {
    if (launch(queued) == ncclInProgress) result = ncclInProgress;
  }
  return result;
}

bool wait_at_end(ncclComm_t comm) {
  if (group.depth == 0) return false;
  group.starting.push_back(comm);
  return true;
}

ncclResult_t add(ncclComm_t comm, cudaStream_t stream, std::vector<Operation> operations) {
  if (!is_communicator(comm)) return ncclInvalidArgument;
  if (comm->state() == ncclInProgress) {
    return refused(ncclInvalidArgument, comm,
                   "the communicator is busy: what was asked for "
                   "before is in progress");
  }
  if (comm->state() != ncclSuccess) return comm->state();
  const std::shared_ptr<fake_cuda::Stream> found = fake_cuda::find_stream(stream);
  if (found == nullptr || found->device != comm->device) {
    return refused(ncclInvalidArgument, comm, "the stream is not one of the communicator's device");
  }
  if (fake_cuda::capture_of(stream) != nullptr) {
    return refused(ncclInvalidUsage, comm, "operations in a graph are not emulated");
  }
  for (Operation& operation : operations) {
    if (const std::string why = why_not(*comm, operation); !why.empty()) {
      return refused(ncclInvalidArgument, comm, why);
    }
    operation.data = static_cast<char*>(fake_cuda::alias(operation.data));
  }
  if (group.depth == 0) return launch({comm, stream, std::move(operations)});
  for (Queued& queued : group.queued) {
    if (queued.comm != comm) continue;
    if (queued.stream != stream) {
      return refused(ncclInvalidUsage, comm, "one group uses the communicator on two streams");
    }
    queued.operations.insert(queued.operations.end(), operations.begin(), operations.end());
    return ncclSuccess;
  }
  group.queued.push_back({comm, stream, std::move(operations)});
  return ncclSuccess;
}

}  // namespace bitmill::fake_nccl

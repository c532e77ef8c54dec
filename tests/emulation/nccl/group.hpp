#pragma once
// Groups: what one thread asks for between ncclGroupStart and ncclGroupEnd begins together.

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <vector>

#include "emulation/nccl/link.hpp"

namespace bitmill::fake_nccl {

void begin_group();
// What went wrong inside; ncclInProgress when a communicator that does not block takes part.
ncclResult_t end_group();

// Checks the operations and queues them on `stream`, at once or at the end of the group.
// ncclInvalidArgument: a peer that is none, memory that is not all of one allocation of the
// communicator's device or pinned, a stream of another device, a communicator that is still busy.
ncclResult_t add(ncclComm_t comm, cudaStream_t stream, std::vector<Operation> operations);

// Inside a group: the communicator is waited for at its end. Outside: false.
bool wait_at_end(ncclComm_t comm);

}  // namespace bitmill::fake_nccl

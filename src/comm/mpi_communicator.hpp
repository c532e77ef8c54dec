#pragma once
// A Communicator that uses an MPI communicator. Internal to comm.

#include <cstddef>
#include <memory>

#include "comm/communicator.hpp"
#include "comm/mpi_handle.hpp"

namespace bitmill {

// Messages longer than `piece_bytes` (at most INT_MAX) travel in pieces. Collective over `comm`.
std::unique_ptr<Communicator> mpi_communicator(CommHandle comm, size_t piece_bytes);

}  // namespace bitmill

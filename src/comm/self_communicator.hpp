#pragma once
// A communicator of a single rank, for runs without mpirun. Needs no initialisation.

#include <memory>

#include "comm/communicator.hpp"

namespace bitmill {

std::unique_ptr<Communicator> self_communicator();

}  // namespace bitmill

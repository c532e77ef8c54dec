#pragma once
// A world of one rank, for runs without mpirun: nothing to initialise.

#include <memory>

#include "comm/communicator.hpp"

namespace bitmill {

std::unique_ptr<Communicator> self_communicator();

}  // namespace bitmill

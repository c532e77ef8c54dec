#pragma once
// Ranks as threads of one process: the whole pipeline runs in a unit test, under a debugger and a
// sanitizer, with no mpirun and no GPU.

#include <functional>

#include "comm/communicator.hpp"

namespace bitmill {

// Runs body once per rank, each on its own thread; size >= 1. When a rank throws, the others' calls
// throw CommError instead of waiting for it, and so does a wait for a rank that has returned; the
// first failure is rethrown here.
void run_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace bitmill

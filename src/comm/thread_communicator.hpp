#pragma once
// Ranks as threads of one process: so the whole pipeline can run in a unit test, under a debugger
// or a sanitizer, without mpirun and GPU.

#include <functional>

#include "comm/communicator.hpp"

namespace bitmill {

// Runs body once per rank, each on its own thread; size >= 1. When a rank throws, calls of the
// other ranks throw CommError instead of waiting for it. A call that waits for a rank whose body
// has returned throws CommError, too. The first failure is rethrown here.
void run_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace bitmill

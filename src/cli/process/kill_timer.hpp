#pragma once

#include <cstdint>

namespace bitmill {

// The kernel ends this process with SIGKILL `seconds` from now, in whatever state it is: a process
// that is stopped (SIGSTOP) hears nothing else. For a time when nothing is left to be lost, and a
// rank that stands still would keep all others waiting. Error when the kernel gives no timer.
void end_process_in(int64_t seconds);

}  // namespace bitmill

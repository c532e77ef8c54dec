#pragma once
// What a process has not given back.

namespace bitmill::fake_cuda {

// Counts what another library hands out (1) and takes back (-1): "cublasLt handles". `kind` is a
// literal.
void count_live(const char* kind, int change);

// Prints every allocation that is not freed, and how many streams, events and graphs are not
// destroyed, where the settings want it; ends the process with status 66 where they want that. Says
// nothing once a device is broken.
void leaks_at_exit();

}  // namespace bitmill::fake_cuda

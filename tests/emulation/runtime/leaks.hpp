#pragma once
// What a process has not given back.

namespace bitmill::fake_cuda {

// Prints every allocation that is not freed, and how many streams, events and graphs are not
// destroyed, where the settings want it; ends the process with status 66 where they want that. Says
// nothing once a device is broken.
void leaks_at_exit();

}  // namespace bitmill::fake_cuda

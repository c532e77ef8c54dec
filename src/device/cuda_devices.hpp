#pragma once
// The devices that this process may see, and whether one of them can be used.

namespace bitmill {

// DeviceError where this process sees no device of this index: how many it sees, and what to try.
void check_cuda_index(int index);

// Makes the device the calling thread's current one, and lets an operator of libtorch and a kernel
// of ours compute there: both must have been built for it. Waits. DeviceError. REQUIRES: the index
// is one that this process sees.
void try_cuda_device(int index);

}  // namespace bitmill

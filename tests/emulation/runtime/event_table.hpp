#pragma once
// All events of the process, by handle.

#include <cuda_runtime_api.h>

#include <memory>

#include "emulation/runtime/event.hpp"

namespace bitmill::fake_cuda {

cudaEvent_t make_event(int device, unsigned flags);
// False when the handle is not valid. Streams that wait for the event go on waiting.
bool destroy_event(cudaEvent_t handle);
// Null when the handle is not valid.
std::shared_ptr<Event> find_event(cudaEvent_t handle);
size_t live_events();

}  // namespace bitmill::fake_cuda

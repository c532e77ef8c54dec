#pragma once
// Handles of streams, events and graphs: addresses that nobody can read, and none comes twice. So a
// handle that is used after it was destroyed is known as such.

#include <cstddef>

namespace bitmill::fake_cuda {

void* new_handle_address();

template <typename Handle>
Handle new_handle() {
  return static_cast<Handle>(new_handle_address());
}

}  // namespace bitmill::fake_cuda

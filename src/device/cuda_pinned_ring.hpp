#pragma once
// Pinned memory of the host, through which bytes go to a device and back. A GPU copies from and to
// pinned memory by itself, while this thread goes on; so a few buffers take turns. Each has an
// event behind the last copy that uses it, and is written to again only after that event. Small
// pieces share a buffer, so that many small copies may be under way.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/handle.hpp"
#include "base/thread_pool.hpp"

namespace bitmill {

struct PinnedMemoryTraits {
  using Type = std::byte*;
  static Type null() { return nullptr; }
  static void destroy(Type memory) { cudaFreeHost(memory); }  // waits for what uses it
};
struct EventTraits {
  using Type = cudaEvent_t;
  static Type null() { return nullptr; }
  static void destroy(Type event) { cudaEventDestroy(event); }
};

// Without times. DeviceError.
UniqueHandle<EventTraits> new_cuda_event();

// All calls by one thread at a time, whose current device is that of the ring. They queue on the
// device's current stream. DeviceError.
class PinnedRing {
 public:
  // REQUIRES: buffers >= 2, buffer_bytes a multiple of 16. The pool, which outlives the ring,
  // copies between the host's own memory and the buffers.
  PinnedRing(ThreadPool& pool, int buffers, int64_t buffer_bytes);

  int64_t buffer_bytes() const { return buffer_bytes_; }

  // Queues the copy of `bytes` from `host` to memory of the device. `host` may be changed at once.
  // Waits only where all buffers are under way.
  void send(void* device, const void* host, int64_t bytes);

  // Copies `bytes` of a device's memory piece by piece: calls unload(piece, first, count) in order
  // for pieces of at most buffer_bytes() that begin at multiples of it. Returns after the last.
  // `unload` must not use the ring.
  using Unload = std::function<void(const std::byte* piece, int64_t first, int64_t count)>;
  void receive(const void* device, int64_t bytes, const Unload& unload);

 private:
  struct Buffer {
    UniqueHandle<PinnedMemoryTraits> memory;
    UniqueHandle<EventTraits> last_use;
  };
  // A part of the current buffer, which nothing uses any more.
  std::byte* take(int64_t bytes, cudaStream_t stream);
  // What was queued on the stream uses the current buffer.
  void mark_use(cudaStream_t stream);

  ThreadPool& pool_;
  int64_t buffer_bytes_;
  std::vector<Buffer> buffers_;
  size_t current_ = 0;
  int64_t used_ = 0;               // bytes of the current buffer
  cudaStream_t stream_ = nullptr;  // of the copies that use the current buffer
};

}  // namespace bitmill

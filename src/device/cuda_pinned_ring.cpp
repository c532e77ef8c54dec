#include "device/cuda_pinned_ring.hpp"

#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstring>
#include <deque>

#include "base/error.hpp"
#include "base/format_bytes.hpp"
#include "base/host_name.hpp"
#include "base/memory.hpp"
#include "base/pieces.hpp"
#include "device/cuda_fault.hpp"
#include "device/queue.hpp"

namespace bitmill {
namespace {

// Bytes. Parts of a buffer begin at such places: what copies like best.
constexpr int64_t part_alignment = 256;
// Bytes of one task of a copy within the host. One thread moves about 10 GB/s, a GPU's link 50.
constexpr int64_t bytes_per_copy_task = int64_t{1} << 20;

std::string locked_memory_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return "unknown";
  if (limit.rlim_cur == RLIM_INFINITY) return "unlimited";
  return format_bytes(static_cast<int64_t>(limit.rlim_cur));
}

UniqueHandle<PinnedMemoryTraits> pinned_memory(int64_t bytes, int buffers) {
  void* memory = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocDefault);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw DeviceError(
        fmt::format("{} gives no pinned memory for copies to a GPU ({}): {} buffers of {} are "
                    "needed; the limit "
                    "on locked memory is {} (ulimit -l), and {} of memory are free; raise the "
                    "limit, or that of "
                    "the container or job, or run fewer ranks on this host",
                    host_name(), cuda_words(error), buffers, format_bytes(bytes),
                    locked_memory_limit(), format_bytes(available_memory_bytes())));
  }
  check_cuda(error, "cudaHostAlloc");
  return UniqueHandle<PinnedMemoryTraits>(static_cast<std::byte*>(memory));
}

cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

}  // namespace

UniqueHandle<EventTraits> new_cuda_event() {
  cudaEvent_t event = nullptr;
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  return UniqueHandle<EventTraits>(event);
}

PinnedRing::PinnedRing(ThreadPool& pool, int buffers, int64_t buffer_bytes)
    : pool_(pool), buffer_bytes_(buffer_bytes) {
  for (int i = 0; i < buffers; ++i) {
    buffers_.push_back({pinned_memory(buffer_bytes, buffers), new_cuda_event()});
  }
}

std::byte* PinnedRing::take(int64_t bytes, cudaStream_t stream) {
  const int64_t first = rounded_up(used_, part_alignment);
  // One event covers one stream.
  const bool other_stream = used_ > 0 && stream != stream_;
  if (other_stream || first + bytes > buffer_bytes_) {
    current_ = (current_ + 1) % buffers_.size();
    check_cuda(cudaEventSynchronize(buffers_[current_].last_use.get()), "cudaEventSynchronize");
    used_ = 0;
  }
  stream_ = stream;
  std::byte* const part = buffers_[current_].memory.get() + rounded_up(used_, part_alignment);
  used_ = rounded_up(used_, part_alignment) + bytes;
  return part;
}

void PinnedRing::mark_use(cudaStream_t stream) {
  check_cuda(cudaEventRecord(buffers_[current_].last_use.get(), stream), "cudaEventRecord");
}

void PinnedRing::send(void* device, const void* host, int64_t bytes) {
  const cudaStream_t stream = current_stream();
  for_pieces(bytes, buffer_bytes_, [&](int64_t first, int64_t count) {
    std::byte* const part = take(count, stream);
    const std::byte* const from = static_cast<const std::byte*>(host) + first;
    parallel_pieces(pool_, count, bytes_per_copy_task, [&](int64_t begin, int64_t size) {
      std::memcpy(part + begin, from + begin, static_cast<size_t>(size));
    });
    check_cuda(cudaMemcpyAsync(static_cast<std::byte*>(device) + first, part,
                               static_cast<size_t>(count), cudaMemcpyHostToDevice, stream),
               fmt::format("copying {} to the device", format_bytes(count)));
    mark_use(stream);
  });
}

void PinnedRing::receive(const void* device, int64_t bytes, const Unload& unload) {
  struct UnderWay {
    const std::byte* part;
    cudaEvent_t arrived;
    int64_t first, count;
  };
  std::deque<UnderWay> under_way;
  const auto unload_first = [&] {
    const UnderWay& piece = under_way.front();
    check_cuda(cudaEventSynchronize(piece.arrived), "copying to the host");
    unload(piece.part, piece.first, piece.count);
    under_way.pop_front();
  };
  const cudaStream_t stream = current_stream();
  for_pieces(bytes, buffer_bytes_, [&](int64_t first, int64_t count) {
    // The next piece may take the buffer of the one that is `buffers` before it.
    if (under_way.size() == buffers_.size()) unload_first();
    std::byte* const part = take(count, stream);
    check_cuda(cudaMemcpyAsync(part, static_cast<const std::byte*>(device) + first,
                               static_cast<size_t>(count), cudaMemcpyDeviceToHost, stream),
               fmt::format("copying {} to the host", format_bytes(count)));
    mark_use(stream);
    under_way.push_back({part, buffers_[current_].last_use.get(), first, count});
  });
  while (!under_way.empty()) unload_first();
}

}  // namespace bitmill
